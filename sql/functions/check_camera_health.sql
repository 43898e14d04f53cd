-- How each camera, or the camera p_sensor_id, answers as of p_at: the rules of analytics/health.py on collection_log itself, where
-- camera_health is as old as its last run. An unknown id gives no row; p_at that is no instant is an error.
-- status is healthy, degraded, offline or unknown, reason why it is not healthy; error_count and error_rate are of the questions of
-- the last 24 hours, uptime_percentage of the last 7 days. stream_quality_score is NULL: no video is processed.

CREATE OR REPLACE FUNCTION retail.check_camera_health(p_sensor_id uuid DEFAULT NULL, p_at timestamptz DEFAULT now())
RETURNS TABLE (
  camera_id uuid, camera_name text, store_id uuid, status text, reason text, last_heartbeat timestamptz,
  last_asked_at timestamptz, uptime_percentage double precision, stream_quality_score double precision, error_count integer,
  error_rate double precision, latency_ms double precision, clock_offset_seconds double precision, last_error text,
  last_error_class text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF isfinite(p_at) IS NOT TRUE THEN
    RAISE invalid_parameter_value USING
      MESSAGE = pg_catalog.format('p_at is %s and no instant: give one, or leave it out for now.', coalesce(p_at::text, 'NULL'));
  END IF;
  RETURN QUERY
  SELECT m.id, m.sensor_name, m.store_id,
    CASE WHEN w.reason IS NULL THEN 'healthy' WHEN w.reason = 'asked_in_vain' THEN 'offline'
      WHEN w.reason IN ('last_question_failed', 'errors', 'clock_off', 'slow') THEN 'degraded' ELSE 'unknown' END,
    w.reason, k.last_seen_at, q.last_asked_at, 100 * q.uptime_share, NULL::double precision, coalesce(q.errors, 0)::integer,
    q.error_rate, q.latency_ms, m.clock_offset_seconds, e.error, e.outcome
  FROM retail.sensor_metadata AS m
  CROSS JOIN LATERAL (
    WITH log AS MATERIALIZED (
      SELECT l.endpoint, l.outcome, l.latency_ms, l.asked_at, l.last_success_at,
        l.outcome IN ('ok', 'ok_with_rejects', 'no_rows', 'beyond_retention') AS is_answer
      FROM retail.collection_log AS l
      -- An hour is asked about until eight hours after it; the running one of a camera whose clock is ahead lies after p_at.
      WHERE l.sensor_id = m.id AND l.hour_start >= p_at - interval '8 days' AND l.hour_start < p_at + interval '2 hours'
        AND l.asked_at <= p_at AND l.asked_at > p_at - interval '7 days'
        AND l.endpoint NOT IN ('region_stays', 'spatial_heatmap')
        AND l.outcome NOT IN ('busy', 'address_blocked', 'missing_secret')
    ), questions AS MATERIALIZED (
      -- One question is logged with each of its hours: it failed when one went without an answer, and was answered when one has one.
      SELECT a.endpoint, a.at, bool_or(a.failed) AS failed, bool_or(a.answered) AS answered, max(a.latency_ms) AS latency_ms
      FROM (
        SELECT endpoint, asked_at AS at, NOT is_answer AS failed, is_answer AS answered, latency_ms FROM log
        UNION ALL
        SELECT endpoint, last_success_at, false, true, NULL FROM log
        WHERE last_success_at < asked_at AND last_success_at > p_at - interval '7 days'
      ) AS a
      GROUP BY a.endpoint, a.at
    )
    SELECT
      max(at) AS last_asked_at,
      min(at) AS first_asked_at,
      max(at) FILTER (WHERE answered) AS answered_at,
      (array_agg(failed ORDER BY at DESC, endpoint COLLATE "C" DESC))[1] AS is_lost,
      count(*) FILTER (WHERE failed AND at > p_at - interval '24 hours') AS errors,
      avg(failed::integer) FILTER (WHERE at > p_at - interval '24 hours')::double precision AS error_rate,
      percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE answered AND at > p_at - interval '24 hours')
        AS latency_ms,
      count(DISTINCT date_trunc('hour', at, 'UTC')) FILTER (WHERE answered)::double precision
        / nullif(count(DISTINCT date_trunc('hour', at, 'UTC')), 0) AS uptime_share
    FROM questions
  ) AS q
  LEFT JOIN LATERAL (
    -- Also what our own settings kept from being sent; that says nothing of the camera, but is an error to show.
    SELECT l.outcome, l.error
    FROM retail.collection_log AS l
    WHERE l.sensor_id = m.id AND l.hour_start >= p_at - interval '8 days' AND l.hour_start < p_at + interval '2 hours'
      AND l.asked_at <= p_at AND l.asked_at > p_at - interval '7 days'
      AND l.endpoint NOT IN ('region_stays', 'spatial_heatmap') AND l.outcome <> 'busy'
      AND l.outcome NOT IN ('ok', 'ok_with_rejects', 'no_rows', 'beyond_retention')
    ORDER BY l.asked_at DESC LIMIT 1
  ) AS e ON true
  LEFT JOIN LATERAL (
    SELECT l.outcome
    FROM retail.collection_log AS l
    WHERE l.sensor_id = m.id AND l.hour_start >= p_at - interval '8 days' AND l.hour_start < p_at + interval '2 hours'
      AND l.asked_at <= p_at AND l.asked_at > p_at - interval '7 days'
      AND l.endpoint NOT IN ('region_stays', 'spatial_heatmap') AND l.outcome <> 'busy'
    ORDER BY l.asked_at DESC LIMIT 1
  ) AS last_word ON true
  CROSS JOIN LATERAL (
    SELECT greatest(CASE WHEN m.last_seen_at <= p_at THEN m.last_seen_at END, q.answered_at) AS last_seen_at
  ) AS k
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN NOT m.is_active THEN 'switched_off'
      WHEN last_word.outcome IN ('address_blocked', 'missing_secret') THEN last_word.outcome
      WHEN q.last_asked_at IS NULL THEN 'not_asked'
      WHEN q.last_asked_at < p_at - interval '60 minutes' THEN 'not_asked_lately'
      WHEN q.is_lost AND q.last_asked_at
        - coalesce(k.last_seen_at, least(m.created_at, q.first_asked_at)) >= interval '8 minutes' THEN 'asked_in_vain'
      WHEN k.last_seen_at IS NULL THEN 'never_answered'
      WHEN q.is_lost THEN 'last_question_failed'
      WHEN q.error_rate > 0.1 THEN 'errors'
      WHEN abs(m.clock_offset_seconds) > 120 THEN 'clock_off'
      WHEN q.latency_ms > 5000 THEN 'slow'
    END AS reason
  ) AS w
  WHERE p_sensor_id IS NULL OR m.id = p_sensor_id;
END
$$;
