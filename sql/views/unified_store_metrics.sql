-- One store in one hour, over all of its cameras and regions. People inside are drift-corrected, people in regions modelled.
-- Laterals, so that a question about one store and a span of time reads only these rows.

CREATE OR REPLACE VIEW retail.unified_store_metrics WITH (security_invoker = true) AS
SELECT
  h.store_id,
  h.hour_start AS "timestamp",
  round(h.avg_occupancy)::integer AS total_occupancy,
  round(h.total_entries)::integer AS total_entries,
  round(h.total_exits)::integer AS total_exits,
  r.zone_occupancy,
  c.active_zones,
  r.crowded_zones,
  NULL::integer AS inter_camera_transitions,
  NULL::double precision AS avg_journey_time_minutes,
  NULL::double precision AS completion_rate,
  c.active_cameras,
  o.camera_sync_delay_ms,
  d.data_quality_score,
  jsonb_strip_nulls(jsonb_build_object(
    'total_occupancy', CASE WHEN h.avg_occupancy IS NULL THEN h.quality -> 'avg_occupancy' END,
    'total_entries', CASE WHEN h.total_entries IS NULL THEN h.quality -> 'total_entries' END,
    'total_exits', CASE WHEN h.total_exits IS NULL THEN h.quality -> 'total_exits' END,
    'zone_occupancy', CASE WHEN r.zone_occupancy IS NULL THEN 'no_region_figure' ELSE 'modelled' END,
    'active_zones', CASE WHEN c.active_zones IS NULL THEN 'not_collected' END,
    'crowded_zones', CASE WHEN r.crowded_zones IS NULL THEN 'no_region_with_capacity' ELSE 'modelled' END,
    'inter_camera_transitions', 'by_day_only',
    'avg_journey_time_minutes', 'no_tracks',
    'completion_rate', 'no_tracks',
    'camera_sync_delay_ms', CASE WHEN o.camera_sync_delay_ms IS NULL THEN 'no_clock_seen' END,
    'data_quality_score', CASE WHEN d.data_quality_score IS NULL THEN 'no_residual' END
  )) AS quality
FROM retail.store_hourly AS h
JOIN retail.stores AS s ON s.id = h.store_id
CROSS JOIN LATERAL (
  SELECT
    count(*) FILTER (WHERE a.data_completeness > 0)::integer AS active_cameras,
    (sum((SELECT count(*) FROM jsonb_each(a.region_counts) AS n WHERE n.value > '0'))
      FILTER (WHERE a.region_counts IS NOT NULL))::integer AS active_zones
  FROM retail.sensor_metadata AS m
  JOIN retail.hourly_analytics AS a ON a.sensor_id = m.id AND a.hour_start = h.hour_start
  WHERE m.store_id = h.store_id
) AS c
CROSS JOIN LATERAL (
  SELECT
    jsonb_object_agg(z.zone, z.present) FILTER (WHERE z.present IS NOT NULL) AS zone_occupancy,
    CASE WHEN count(z.used) > 0 THEN coalesce(jsonb_agg(z.zone ORDER BY z.zone) FILTER (WHERE z.used > 0.9), '[]') END
      AS crowded_zones
  FROM (
    SELECT
      m.sensor_name || ':' || coalesce(n.region_name, a.region_number::text)
        || CASE WHEN count(*) OVER (PARTITION BY m.id, n.region_name) > 1 AND n.region_name IS NOT NULL
          THEN ' ' || a.region_number ELSE '' END AS zone,
      (a.metrics ->> 'avg_occupancy')::double precision AS present,
      (a.metrics ->> 'utilisation')::double precision AS used
    FROM retail.sensor_metadata AS m
    JOIN retail.regional_analytics AS a ON a.sensor_id = m.id AND a.bucket_size = '1h' AND a.time_bucket = h.hour_start
    LEFT JOIN retail.region_configurations AS n ON n.sensor_id = a.sensor_id AND n.region_number = a.region_number
    WHERE m.store_id = h.store_id AND a.metrics ->> 'source' = 'measured'
  ) AS z
) AS r
CROSS JOIN LATERAL (
  SELECT round(1000 * max(abs(l.clock_offset_seconds)))::bigint AS camera_sync_delay_ms
  FROM retail.sensor_metadata AS m
  JOIN retail.collection_log AS l
    ON l.sensor_id = m.id AND l.endpoint = 'people_counting' AND l.hour_start = h.hour_start
  WHERE m.store_id = h.store_id
) AS o
LEFT JOIN LATERAL (
  SELECT 100 * h.data_completeness * (1 - least(1, abs(t.in_out_residual))) AS data_quality_score
  FROM retail.store_daily AS t
  WHERE t.store_id = h.store_id AND t.date = (h.hour_start AT TIME ZONE s.timezone)::date
) AS d ON true;
