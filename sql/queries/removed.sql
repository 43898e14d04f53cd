-- Which cameras are asked: what retail_sensors/sensors/removed.py compares from tick to tick.

-- name: active_cameras
-- One word for the set of cameras that are switched on.
SELECT md5(coalesce(string_agg(id::text, ',' ORDER BY id), ''))
FROM retail.sensor_metadata
WHERE is_active
