-- What stands out right now: the running hour of each camera once a quarter of it is counted, else the hour that has just ended,
-- beside the same hour of the week of the 8 weeks before, by the store's own clock. Rows are never stored: anomalies_detected has the
-- events, whose baseline (analytics/baseline.py) also follows the season; here is a quick look at one hour.
-- Expected is the mean of these hours, each held within 2.5 standard deviations of their median; hours that were not measured or
-- that lie in an anomaly are left out, 4 must be left. The dispersion is the least that holds 90 % of the counts of this hour and its
-- neighbours on all days, each beside the mean without it. Of a running hour the share that has passed is expected.
-- confidence is 1 - p x 168 hours of a week, p the two tails of the negative binomial (analytics/tails.py); rows under p_confidence
-- are left out, 0 gives every count that could be judged. A camera that has not counted for 2 hours is a data_gap. p_confidence that
-- is no share, or p_at that is no instant, is an error.

CREATE OR REPLACE FUNCTION retail.detect_anomalies(
  p_sensor_id uuid DEFAULT NULL, p_at timestamptz DEFAULT now(), p_confidence double precision DEFAULT 0.9)
RETURNS TABLE (
  sensor_id uuid, detected_at timestamptz, anomaly_type text, started_at timestamptz, severity double precision,
  confidence double precision, affected_metric text, expected_value double precision, actual_value double precision,
  deviation_percent double precision, deviation_stddev double precision, context jsonb)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF (p_confidence BETWEEN 0 AND 1) IS NOT TRUE THEN
    RAISE invalid_parameter_value USING
      MESSAGE = pg_catalog.format('A confidence of %s is no share: give one from 0 to 1.', coalesce(p_confidence::text, 'NULL'));
  ELSIF isfinite(p_at) IS NOT TRUE THEN
    RAISE invalid_parameter_value USING
      MESSAGE = pg_catalog.format('p_at is %s and no instant: give one, or leave it out for now.', coalesce(p_at::text, 'NULL'));
  END IF;
  RETURN QUERY
  WITH cameras AS MATERIALIZED (
    SELECT m.id, s.timezone,
      NOT EXISTS (SELECT FROM retail.counting_lines AS l WHERE l.sensor_id = m.id)
        OR EXISTS (SELECT FROM retail.counting_lines AS l WHERE l.sensor_id = m.id AND l.role = 'entrance') AS is_entrance
    FROM retail.sensor_metadata AS m
    JOIN retail.stores AS s ON s.id = m.store_id
    WHERE m.is_active AND (p_sensor_id IS NULL OR m.id = p_sensor_id)
  ), current_hours AS MATERIALIZED (
    SELECT c.id, c.timezone, c.is_entrance, h.hour_start, h.hour_start AT TIME ZONE c.timezone AS wall, h.share, h.entries, h.exits,
      h.passersby
    FROM cameras AS c
    CROSS JOIN LATERAL (
      SELECT b.hour_start, b.total_entries AS entries, b.total_exits AS exits, b.passersby,
        CASE WHEN b.data_completeness >= 1 THEN 1
          ELSE extract(epoch FROM least(l.last_success_at, b.hour_start + interval '1 hour') - b.hour_start) / 3600
        END::double precision AS share
      FROM retail.hourly_analytics AS b
      LEFT JOIN retail.collection_log AS l
        ON l.sensor_id = b.sensor_id AND l.endpoint = 'people_counting' AND l.hour_start = b.hour_start
      WHERE b.sensor_id = c.id AND b.hour_start <= p_at AND b.hour_start > p_at - interval '2 hours'
        AND NOT coalesce(b.imputed_share > 0, false)
        AND CASE WHEN b.data_completeness >= 1 THEN b.hour_start <= p_at - interval '1 hour'
          ELSE l.last_success_at BETWEEN b.hour_start + interval '15 minutes' AND p_at END
      ORDER BY b.hour_start DESC LIMIT 1
    ) AS h
  ), past AS MATERIALIZED (
    -- The hour and its neighbours on each of the 56 days before.
    SELECT c.id, near.shift, extract(isodow FROM w.at) AS weekday, near.shift = 0 AND weeks.days % 7 = 0 AS is_own,
      CASE WHEN c.is_entrance THEN h.total_entries END AS total_entries,
      CASE WHEN c.is_entrance THEN h.total_exits END AS total_exits,
      CASE WHEN NOT c.is_entrance THEN h.passersby END AS passersby
    FROM current_hours AS c
    CROSS JOIN generate_series(1, 56) AS weeks (days)
    CROSS JOIN (VALUES (-1), (0), (1)) AS near (shift)
    CROSS JOIN LATERAL (SELECT c.wall - weeks.days * interval '1 day' + near.shift * interval '1 hour' AS at) AS w
    JOIN retail.hourly_analytics AS h ON h.sensor_id = c.id AND h.hour_start = w.at AT TIME ZONE c.timezone
    WHERE h.data_completeness > 0 AND NOT coalesce(h.imputed_share > 0, false)
      AND NOT EXISTS (
        SELECT FROM retail.anomalies_detected AS a
        WHERE a.sensor_id = c.id AND a.anomaly_type <> 'data_gap'
          AND a.started_at <= h.hour_start AND a.ended_at > h.hour_start)
  ), counts AS MATERIALIZED (
    SELECT p.id, p.shift, p.weekday, p.is_own, v.metric, v.count
    FROM past AS p
    CROSS JOIN LATERAL (VALUES
      ('total_entries', p.total_entries::double precision), ('total_exits', p.total_exits::double precision),
      ('passersby', p.passersby::double precision)) AS v (metric, count)
    WHERE v.count IS NOT NULL
  ), scattered AS (
    -- x - mean without x = (x - mean) n / (n - 1).
    SELECT g.id, g.metric,
      ((g.count - g.mean) * g.days / (g.days - 1)) ^ 2 / 1.6449 ^ 2 - g.mean * (1 + 1 / (g.days - 1)) AS beyond_chance, g.mean
    FROM (
      SELECT c.id, c.metric, c.count, avg(c.count) OVER slot AS mean, (count(*) OVER slot)::double precision AS days
      FROM counts AS c
      WINDOW slot AS (PARTITION BY c.id, c.metric, c.shift, c.weekday)
    ) AS g
    WHERE g.days > 1 AND g.mean >= 1
  ), dispersions AS (
    SELECT s.id, s.metric, least(greatest(
      percentile_disc(0.9) WITHIN GROUP (ORDER BY s.beyond_chance / s.mean ^ 2), 4e-4), 4)::double precision AS dispersion
    FROM scattered AS s
    GROUP BY s.id, s.metric
    HAVING count(*) >= 48
  ), medians AS (
    SELECT c.id, c.metric, percentile_cont(0.5) WITHIN GROUP (ORDER BY c.count) AS centre, count(*)::double precision AS weeks
    FROM counts AS c
    WHERE c.is_own
    GROUP BY c.id, c.metric
    HAVING count(*) >= 4
  ), expected AS (
    SELECT m.id, m.metric, m.weeks, d.dispersion, avg(least(greatest(c.count, m.centre - r.reach), m.centre + r.reach)) AS mean
    FROM medians AS m
    -- Where too few people come to learn how counts scatter, what a new camera has (analytics/baseline.py).
    CROSS JOIN LATERAL (
      SELECT coalesce((SELECT o.dispersion FROM dispersions AS o WHERE o.id = m.id AND o.metric = m.metric), 0.1)
    ) AS d (dispersion)
    CROSS JOIN LATERAL (SELECT 2.5 * sqrt(m.centre + 0.5 + d.dispersion * m.centre ^ 2)) AS r (reach)
    JOIN counts AS c ON c.id = m.id AND c.metric = m.metric AND c.is_own
    GROUP BY m.id, m.metric, m.weeks, d.dispersion
  ), judged AS (
    SELECT c.id, e.metric, c.hour_start, c.share, e.weeks, e.dispersion, j.mean, j.k, n.count,
      retail.count_surprise(n.count, j.mean, j.k) AS p
    FROM current_hours AS c
    JOIN expected AS e ON e.id = c.id
    CROSS JOIN LATERAL (
      SELECT CASE e.metric WHEN 'total_entries' THEN c.entries WHEN 'total_exits' THEN c.exits ELSE c.passersby END::double precision
    ) AS n (count)
    -- As in the baseline half a person more than were counted: an hour in which nobody ever came is rare, not impossible.
    CROSS JOIN LATERAL (SELECT (e.mean + 0.5 / e.weeks) AS whole) AS w
    CROSS JOIN LATERAL (
      SELECT w.whole * c.share AS mean, 1 / (1 / (w.whole * e.weeks) + e.dispersion) AS k
    ) AS j
    WHERE n.count IS NOT NULL
  )
  SELECT j.id, p_at, CASE WHEN j.count >= j.mean THEN 'traffic_spike' ELSE 'traffic_drop' END, j.hour_start,
    CASE WHEN j.p <= 1e-20 THEN 1 ELSE least(1, -log(j.p::numeric)::double precision / 20) END, f.confidence, j.metric, j.mean, j.count,
    CASE WHEN j.mean >= 1 THEN 100 * (j.count - j.mean) / j.mean END, (j.count - j.mean) / sqrt(j.mean + j.mean ^ 2 / j.k),
    jsonb_build_object('p', j.p, 'k', j.k, 'weeks', j.weeks, 'dispersion', j.dispersion, 'share_of_hour', j.share)
  FROM judged AS j
  CROSS JOIN LATERAL (SELECT greatest(0, 1 - j.p * 168) AS confidence) AS f
  WHERE f.confidence >= p_confidence
  UNION ALL
  SELECT c.id, p_at, 'data_gap', g.hour_start + interval '1 hour', least(1, g.hours / 24), 1, 'all', NULL, NULL, NULL, NULL,
    jsonb_build_object('hours', g.hours)
  FROM cameras AS c
  CROSS JOIN LATERAL (
    SELECT h.hour_start, (extract(epoch FROM p_at - h.hour_start) / 3600 - 1)::double precision AS hours
    FROM retail.hourly_analytics AS h
    WHERE h.sensor_id = c.id AND h.hour_start <= p_at AND h.data_completeness > 0
    ORDER BY h.hour_start DESC LIMIT 1
  ) AS g
  WHERE g.hours > 2
  ORDER BY 1, 3, 7;
END
$$;
