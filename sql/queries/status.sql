-- What `retail-sensors status` asks of the data: retail_sensors/storage/status.py judges it.

-- name: cameras
-- Every camera with its health as of the last look; NULL: nobody has looked.
SELECT s.id::text AS id, s.sensor_name, t.store_name, s.timezone, s.is_active, s.created_at, s.installed_on, s.last_seen_at,
  h.state, h.checked_at, h.quality ->> 'state' AS why, h.last_error_class
FROM retail.sensor_metadata AS s
JOIN retail.stores AS t ON t.id = s.store_id
LEFT JOIN retail.camera_health AS h ON h.sensor_id = s.id
ORDER BY s.sensor_name

-- name: hours
-- What is known of each camera's hours in the window: the word of its figures, NULL where it was asked and has no figures.
SELECT f.sensor_id::text, f.hour_start, f.quality ->> 'counts' AS counts
FROM retail.hourly_analytics AS f
WHERE f.hour_start >= %(start)s::timestamptz AND f.hour_start < %(end)s::timestamptz
UNION ALL
SELECT l.sensor_id::text, l.hour_start, NULL
FROM retail.collection_log AS l
WHERE l.endpoint = 'people_counting' AND l.hour_start >= %(start)s::timestamptz AND l.hour_start < %(end)s::timestamptz
  AND NOT EXISTS (
    SELECT FROM retail.hourly_analytics AS f WHERE f.sensor_id = l.sensor_id AND f.hour_start = l.hour_start)

-- name: hours_without_their_store
-- Hours of stores within the window of which a camera has figures and the store has none.
SELECT count(DISTINCT (s.store_id, h.hour_start))::integer
FROM retail.hourly_analytics AS h
JOIN retail.sensor_metadata AS s ON s.id = h.sensor_id
WHERE h.hour_start >= %(start)s::timestamptz AND h.hour_start < %(end)s::timestamptz
  AND NOT EXISTS (
    SELECT FROM retail.store_hourly AS f WHERE f.store_id = s.store_id AND f.hour_start = h.hour_start)

-- name: days
-- Stores with a camera that is asked: since when, and the dates from :first on that have figures.
SELECT t.store_name, t.timezone, min(s.created_at) AS since, (
    SELECT array_agg(d.date) FROM retail.store_daily AS d WHERE d.store_id = t.id AND d.date >= %(first)s::date) AS dates
FROM retail.stores AS t
JOIN retail.sensor_metadata AS s ON s.store_id = t.id
WHERE s.is_active
GROUP BY t.id
ORDER BY t.store_name

-- name: forecasts
-- The newest origin of two days, and whether the stores have a history to forecast from: hours of four weeks ago.
SELECT
  (SELECT max(prediction_time) FROM retail.store_predictions
   WHERE prediction_time > %(now)s::timestamptz - interval '48 hours' AND prediction_time <= %(now)s::timestamptz) AS newest,
  EXISTS (
    SELECT FROM retail.store_hourly
    WHERE hour_start >= %(now)s::timestamptz - interval '29 days' AND hour_start < %(now)s::timestamptz - interval '28 days')
    AS has_history

-- name: anomalies
-- Anomalies of the last month: the newest, and those that go on.
SELECT max(detected_at) AS newest, (count(*) FILTER (WHERE NOT auto_resolved))::integer AS going_on
FROM retail.anomalies_detected
WHERE date > (%(now)s::timestamptz AT TIME ZONE 'UTC')::date - 31 AND detected_at <= %(now)s::timestamptz

-- name: gaps_without_their_anomaly
-- Cameras with an hour of the window that was not measured although one of the week before was, and that no gap holds.
SELECT DISTINCT s.sensor_name
FROM retail.hourly_analytics AS h
JOIN retail.sensor_metadata AS s ON s.id = h.sensor_id
WHERE s.is_active AND h.hour_start >= %(start)s::timestamptz AND h.hour_start < %(end)s::timestamptz
  AND h.hour_start >= s.created_at AND h.quality ->> 'counts' IN ('missing', 'estimated', 'substituted')
  AND EXISTS (
    SELECT FROM retail.hourly_analytics AS f
    WHERE f.sensor_id = h.sensor_id AND f.hour_start >= h.hour_start - interval '7 days' AND f.hour_start < h.hour_start
      AND f.quality ->> 'counts' = 'measured')
  AND NOT EXISTS (
    SELECT FROM retail.anomalies_detected AS a
    WHERE a.sensor_id = h.sensor_id AND a.anomaly_type = 'data_gap'
      AND a.started_at <= h.hour_start AND a.ended_at > h.hour_start)
ORDER BY s.sensor_name

-- name: alerts
-- Open alerts: the newest, all, and the critical ones.
SELECT max("timestamp") AS newest, count(*)::integer AS open, (count(*) FILTER (WHERE severity = 'critical'))::integer AS critical
FROM retail.alerts_generated
WHERE NOT resolved AND "timestamp" <= %(now)s::timestamptz

-- name: cameras_without_their_alert
-- Cameras that have been offline for a quarter of an hour longer than their store's rule allows, with no alert of this outage.
SELECT s.sensor_name
FROM retail.camera_health AS h
JOIN retail.sensor_metadata AS s ON s.id = h.sensor_id
CROSS JOIN LATERAL (
  SELECT r.is_enabled, coalesce(r.warning_threshold, r.critical_threshold) AS minutes
  FROM retail.alert_rules AS r
  WHERE r.rule_name = 'camera_offline' AND (r.store_id IS NULL OR r.store_id = s.store_id)
  ORDER BY r.store_id NULLS LAST
  LIMIT 1) AS r
WHERE s.is_active AND h.state = 'offline' AND h.checked_at > %(now)s::timestamptz - interval '15 minutes'
  AND r.is_enabled
  AND h.last_asked_at - coalesce(h.last_seen_at, s.created_at) > (r.minutes + 15) * interval '1 minute'
  AND NOT EXISTS (
    SELECT FROM retail.alerts_generated AS a
    WHERE a.rule_name = 'camera_offline' AND a.sensor_id = s.id
      AND a.last_seen_at >= coalesce(h.last_seen_at, s.created_at))
ORDER BY s.sensor_name
