-- One active camera right now. A plain view, made at the question: one store's takes a few milliseconds, is never stale and obeys
-- row-level security, which a materialized view would not. People inside and the queue are the store's.

CREATE OR REPLACE VIEW retail.mv_realtime_dashboard WITH (security_invoker = true) AS
SELECT
  m.id AS sensor_id,
  m.sensor_name,
  s.id AS store_id,
  s.store_name,
  o.current_occupancy,
  o.last_update AS occupancy_last_update,
  o.confidence AS occupancy_confidence,
  o.utilization,
  q.hour_start AS queue_hour,
  q.queue_length,
  q.estimated_wait_minutes,
  q.analysis_type AS queue_analysis_type,
  q.recommendation AS queue_recommendation,
  r.region_counts AS regional_distribution,
  a.active_alerts_count,
  jsonb_build_object('date', t.date, 'total_visitors', d.visitors, 'total_entries', d.entries, 'total_exits', d.exits,
    'peak_hour', d.peak_hour, 'hours_counted', d.hours_counted) AS today_summary,
  c.state AS camera_state,
  c.last_seen_at,
  now() AS last_refresh,
  jsonb_strip_nulls(jsonb_build_object(
    'current_occupancy', o.reason,
    'queue_length', q.reason,
    'regional_distribution', CASE WHEN r.region_counts IS NULL THEN 'not_collected' END,
    'camera_state', CASE WHEN c.state IS NULL THEN 'not_looked_at' END)) AS quality
FROM retail.sensor_metadata AS m
JOIN retail.stores AS s ON s.id = m.store_id
CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE s.timezone)::date AS date) AS t
LEFT JOIN LATERAL retail.calculate_current_occupancy(p_store_id => s.id) AS o ON true
LEFT JOIN LATERAL retail.estimate_queue_metrics(p_store_id => s.id) AS q ON true
LEFT JOIN LATERAL (
  SELECT h.region_counts
  FROM retail.hourly_analytics AS h
  WHERE h.sensor_id = m.id AND h.hour_start > now() - interval '3 hours' AND h.region_counts IS NOT NULL
  ORDER BY h.hour_start DESC LIMIT 1
) AS r ON true
CROSS JOIN LATERAL (
  SELECT count(*)::integer AS active_alerts_count
  FROM retail.alerts_generated AS g
  WHERE NOT g.resolved AND coalesce(g.sensor_id, g.store_id) IN (m.id, s.id)
) AS a
CROSS JOIN LATERAL (
  SELECT sum(h.visitors) AS visitors, sum(h.total_entries) AS entries, sum(h.total_exits) AS exits,
    count(h.visitors) AS hours_counted,
    (array_agg(to_char(h.hour_start AT TIME ZONE s.timezone, 'HH24:MI') ORDER BY h.visitors DESC, h.hour_start)
      FILTER (WHERE h.visitors > 0))[1] AS peak_hour
  FROM retail.hourly_analytics AS h
  WHERE h.sensor_id = m.id AND h.hour_start >= retail.local_instant(t.date::timestamp, s.timezone) AND h.hour_start <= now()
) AS d
LEFT JOIN retail.camera_health AS c ON c.sensor_id = m.id
WHERE m.is_active;
