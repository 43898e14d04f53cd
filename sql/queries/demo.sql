-- Statements of the demo: what retail_sensors/cli/demo.py asks.

-- name: is_new
-- Whether no camera was ever asked for anything, and none is registered but those of :names.
SELECT NOT EXISTS (SELECT FROM retail.collection_log)
  AND NOT EXISTS (SELECT FROM retail.sensor_metadata WHERE sensor_name <> ALL (%(names)s))

-- name: outage
-- The first outage of :camera that was raised and resolved: its zone, when it had last answered, the alert, and the hours up to its
-- end, :hours at most, that came in within half an hour after it.
SELECT s.timezone, a.first_seen_at, a.severity, a.title, a."timestamp", a.resolved_at, a.resolution_notes,
  h.collected_at, h.hours, h.first, h.entries
FROM retail.alerts_generated AS a
JOIN retail.sensor_metadata AS s ON s.id = a.sensor_id
CROSS JOIN LATERAL (
  SELECT min(r.collected_at) AS collected_at, count(*)::integer AS hours, min(r."timestamp") AS first,
    sum(f.total_entries)::integer AS entries
  FROM retail.people_counting_raw AS r
  LEFT JOIN retail.hourly_analytics AS f ON f.sensor_id = r.sensor_id AND f.hour_start = r."timestamp"
  WHERE r.sensor_id = a.sensor_id
    AND r."timestamp" >= a.resolved_at - (%(hours)s + 1) * interval '1 hour'
    AND r."timestamp" <= a.resolved_at - interval '1 hour'
    AND r.collected_at BETWEEN a.resolved_at AND a.resolved_at + interval '30 minutes') AS h
WHERE s.sensor_name = %(camera)s AND a.rule_name = 'camera_offline' AND a.resolved
ORDER BY a."timestamp"
LIMIT 1
