-- What is seen of stores at p_at: one value of one metric and the time that it is about, from the newest rows of store_hourly,
-- realtime_analytics and queue_analytics, as `crowds` and `queues` of analytics/alert_observations.py see it. value NULL: the store
-- is closed, the condition cannot be; Infinity: more came than can be served.

CREATE OR REPLACE FUNCTION retail.raise_alerts_observations(p_metrics text[], p_stores uuid[], p_at timestamptz)
RETURNS TABLE (store_id uuid, metric text, value double precision, seen_from timestamptz, seen_until timestamptz, details jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH places AS (
    SELECT s.id, s.capacity, s.timezone, s.opening_hours FROM retail.stores AS s WHERE s.id = ANY (p_stores)
  ), hours AS (
    -- A running hour reaches until its figures last changed.
    SELECT h.store_id, h.hour_start, h.is_open, h.avg_occupancy, h.utilization, p.capacity,
      CASE WHEN h.hour_start + interval '1 hour' <= p_at THEN h.hour_start + interval '1 hour'
        ELSE least(p_at, greatest(h.hour_start, h.updated_at)) END AS seen_until
    FROM places AS p
    JOIN retail.store_hourly AS h ON h.store_id = p.id
    WHERE 'utilization_percent' = ANY (p_metrics) AND h.hour_start >= p_at - interval '48 hours' AND h.hour_start <= p_at
  ), newest AS (
    SELECT DISTINCT ON (h.store_id) h.store_id, h.is_open, h.seen_until FROM hours AS h ORDER BY h.store_id, h.hour_start DESC
  ), minutes AS (
    SELECT DISTINCT ON (p.id, date_trunc('minute', r.period_end)) p.id AS store_id, r.period_start, r.period_end,
      r.current_count, r.current_occupancy_percent, p.capacity, p.timezone, p.opening_hours
    FROM places AS p
    JOIN retail.sensor_metadata AS m ON m.store_id = p.id
    JOIN retail.realtime_analytics AS r ON r.sensor_id = m.id
    WHERE 'utilization_percent' = ANY (p_metrics) AND r.period_end >= p_at - interval '1 hour' AND r.period_end <= p_at
      AND r.period_start IS NOT NULL AND r.current_occupancy_percent IS NOT NULL
    ORDER BY p.id, date_trunc('minute', r.period_end), r.period_end DESC
  ), counted AS (
    -- Stores that are open, and whose newest minute is as fresh as the newest hour's figure.
    SELECT c.store_id, c.since
    FROM (
      SELECT m.store_id, m.timezone, m.opening_hours, (array_agg(m.period_start ORDER BY m.period_end))[1] AS since,
        max(m.period_end) AS until
      FROM minutes AS m
      GROUP BY m.store_id, m.timezone, m.opening_hours
    ) AS c
    LEFT JOIN newest AS n ON n.store_id = c.store_id
    WHERE retail.raise_alerts_is_open(c.opening_hours, c.until AT TIME ZONE c.timezone)
      AND (n.store_id IS NULL OR (n.is_open AND c.until > n.seen_until - interval '2 minutes'))
  )
  SELECT h.store_id, 'utilization_percent', CASE WHEN h.is_open THEN 100 * h.utilization END, h.hour_start,
    least(h.seen_until, c.since), jsonb_build_object('avg_occupancy', h.avg_occupancy, 'capacity', h.capacity)
  FROM hours AS h
  LEFT JOIN counted AS c ON c.store_id = h.store_id
  WHERE (NOT h.is_open OR (h.utilization IS NOT NULL AND h.capacity IS NOT NULL)) AND (c.since IS NULL OR c.since > h.hour_start)
    AND (c.since IS NULL OR h.seen_until > h.hour_start)
  UNION ALL
  SELECT m.store_id, 'utilization_percent', m.current_occupancy_percent, m.period_start, m.period_end,
    jsonb_build_object('avg_occupancy', m.current_count, 'capacity', m.capacity)
  FROM minutes AS m
  JOIN counted AS c ON c.store_id = m.store_id
  WHERE m.capacity IS NOT NULL
  UNION ALL
  -- Only hours that have ended: arrivals of a running one are not all there yet.
  SELECT q.store_id, v.metric, CASE WHEN NOT o.is_open THEN NULL WHEN q.is_overloaded THEN 'Infinity' ELSE v.value END,
    q.hour_start, q.hour_start + interval '1 hour',
    jsonb_strip_nulls(jsonb_build_object('estimated_wait_time_minutes', q.estimated_wait_time_minutes,
      'predicted_queue_length', q.predicted_queue_length, 'abandonment_risk_score', q.abandonment_risk_score,
      'recommended_open_lanes', q.recommended_open_lanes, 'reason', CASE WHEN q.is_overloaded THEN 'overloaded' END))
  FROM places AS p
  JOIN retail.queue_analytics AS q ON q.store_id = p.id
  CROSS JOIN LATERAL (SELECT retail.raise_alerts_is_open(p.opening_hours, q.hour_start AT TIME ZONE p.timezone)) AS o (is_open)
  CROSS JOIN LATERAL (VALUES
    ('queue_wait_minutes', q.estimated_wait_time_minutes),
    ('queue_length', q.predicted_queue_length),
    ('abandonment_risk_percent', 100 * q.abandonment_risk_score)
  ) AS v (metric, value)
  WHERE v.metric = ANY (p_metrics)
    AND q.hour_start >= p_at - interval '6 hours' AND q.hour_start <= p_at - interval '1 hour'
    AND (NOT o.is_open OR q.is_overloaded OR v.value IS NOT NULL)
$$;
