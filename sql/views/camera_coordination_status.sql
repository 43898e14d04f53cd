-- Whether the cameras of one store told the same hour: their clocks as last seen when they were asked for it, and their counts.

CREATE OR REPLACE VIEW retail.camera_coordination_status WITH (security_invoker = true) AS
SELECT
  h.store_id,
  h.hour_start AS "timestamp",
  CASE
    WHEN c.completeness < 0.5 THEN 'failed'
    WHEN c.completeness < 0.9 OR c.max_offset > 120 THEN 'degraded'
    WHEN c.max_offset <= 120 THEN 'synchronized'
  END AS sync_status,
  round(1000 * c.max_offset)::bigint AS max_sync_delay_ms,
  c.cameras_in_sync,
  c.cameras_total,
  c.completeness AS data_completeness_score,
  c.missing AS missing_data_cameras,
  NULL::integer AS processing_time_ms,
  c.cameras_in_sync::double precision / nullif(c.cameras_total, 0) AS coordination_efficiency,
  jsonb_strip_nulls(jsonb_build_object(
    'sync_status', CASE WHEN c.completeness IS NULL THEN 'not_asked'
      WHEN c.completeness >= 0.9 AND c.max_offset IS NULL THEN 'no_clock_seen' END,
    'max_sync_delay_ms', CASE WHEN c.max_offset IS NULL THEN 'no_clock_seen' END,
    'data_completeness_score', CASE WHEN c.completeness IS NULL THEN 'not_asked' END,
    'processing_time_ms', 'no_video',
    'coordination_efficiency', CASE WHEN c.cameras_total = 0 THEN 'not_asked' END
  )) AS quality
FROM retail.store_hourly AS h
CROSS JOIN LATERAL (
  SELECT
    count(*)::integer AS cameras_total,
    (count(*) FILTER (WHERE a.data_completeness >= 1 AND abs(l.clock_offset_seconds) <= 120))::integer AS cameras_in_sync,
    avg(a.data_completeness) AS completeness,
    max(abs(l.clock_offset_seconds)) AS max_offset,
    coalesce(jsonb_agg(m.sensor_name ORDER BY m.sensor_name) FILTER (WHERE a.data_completeness < 1), '[]') AS missing
  FROM retail.sensor_metadata AS m
  JOIN retail.hourly_analytics AS a ON a.sensor_id = m.id AND a.hour_start = h.hour_start
  LEFT JOIN retail.collection_log AS l
    ON l.sensor_id = m.id AND l.endpoint = 'people_counting' AND l.hour_start = h.hour_start
  WHERE m.store_id = h.store_id
) AS c;
