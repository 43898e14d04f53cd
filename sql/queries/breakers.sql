-- Breakers of cameras: what retail_sensors/storage/breakers.py asks and writes.

-- name: lock_open
-- Breakers of the cameras :sensors that are not closed, until the transaction ends.
SELECT sensor_id::text, state, failures, last_error_class, last_failed_at, run_id, opened_at, next_probe_at
FROM retail.camera_breakers
WHERE state <> 'closed' AND sensor_id = ANY (%(sensors)s::uuid[])
ORDER BY sensor_id
FOR UPDATE

-- name: lock_all
-- Breakers of the cameras :sensors, until the transaction ends.
SELECT sensor_id::text, state, failures, last_error_class, last_failed_at, run_id, opened_at, next_probe_at
FROM retail.camera_breakers
WHERE sensor_id = ANY (%(sensors)s::uuid[])
ORDER BY sensor_id
FOR UPDATE

-- name: claim
-- The cameras :sensors are sent their short question now.
UPDATE retail.camera_breakers
SET state = %(state)s, next_probe_at = %(next_probe_at)s
WHERE sensor_id = ANY (%(sensors)s::uuid[])

-- name: forget
-- The cameras :sensors have answered, each at that of the instants :answered; a later failure stays known.
DELETE FROM retail.camera_breakers AS b
USING unnest(%(sensors)s::uuid[], %(answered)s::timestamptz[]) AS a (sensor_id, answered_at)
WHERE b.sensor_id = a.sensor_id AND b.last_failed_at <= a.answered_at

-- name: remember
-- The state of cameras in which nobody answered; none of one that is switched off or has answered since.
INSERT INTO retail.camera_breakers AS b
  (sensor_id, state, failures, last_error_class, last_failed_at, run_id, opened_at, next_probe_at)
SELECT n.*
FROM unnest(%(sensors)s::uuid[], %(states)s::text[], %(failures)s::integer[], %(error_classes)s::text[],
  %(failed)s::timestamptz[], %(runs)s::text[], %(opened)s::timestamptz[], %(next_probes)s::timestamptz[])
  AS n (sensor_id, state, failures, last_error_class, last_failed_at, run_id, opened_at, next_probe_at)
JOIN retail.sensor_metadata AS s ON s.id = n.sensor_id
WHERE s.is_active AND (s.last_seen_at IS NULL OR s.last_seen_at < n.last_failed_at)
ORDER BY n.sensor_id
ON CONFLICT (sensor_id) DO UPDATE
SET state = EXCLUDED.state, failures = EXCLUDED.failures, last_error_class = EXCLUDED.last_error_class,
  last_failed_at = EXCLUDED.last_failed_at, run_id = EXCLUDED.run_id, opened_at = EXCLUDED.opened_at,
  next_probe_at = EXCLUDED.next_probe_at
