-- Statements on hours that cameras still owe: what retail_sensors/storage/repair.py asks.

-- name: zones_of_cameras
-- Zones of the cameras that are asked.
SELECT DISTINCT timezone
FROM retail.sensor_metadata
WHERE is_active
ORDER BY 1

-- name: missing_spans
-- Unbroken spans of UTC hours (counted since 1970, both ends included) in which an hour of a camera is not in, by camera and
-- endpoint. :zones and :hours are the local hours that have ended, by zone; :endpoints and :held_days say how long each endpoint is
-- held where the camera does not say, and :most_days bounds both.
--
-- Only of endpoints that have answered since :answered_since: one that refuses for good (401, 404), or a camera that is
-- offline, owes nothing until it answers again. Where one was last asked while nobody was there (:nobody), the camera's alarm status
-- answers for it, unless that was read in the :within before: then it is the endpoint's own fault. An hour is in when it was given an hour or more after its end, or its final row stands
-- in the raw table. `beyond_retention` is the camera's last word. `no_rows` is too, a day after the hour's end: it is asked
-- once more then, since its clock may have been slow before.
--
-- An hour that nobody has asked for and that began before the camera was registered is its history; with :is_history only
-- those, without only the others.
WITH expected AS (
  SELECT e.timezone, e.hour_start
  FROM unnest(%(zones)s::text[], %(hours)s::timestamptz[]) AS e (timezone, hour_start)
), answering AS MATERIALIZED (
  SELECT l.sensor_id, l.endpoint
  FROM retail.collection_log AS l
  WHERE l.hour_start >= %(answered_since)s::timestamptz - interval '2 hours'
  GROUP BY 1, 2
  HAVING max(l.last_success_at) >= %(answered_since)s
  UNION
  SELECT n.sensor_id, n.endpoint
  FROM (
    SELECT DISTINCT ON (l.sensor_id, l.endpoint) l.sensor_id, l.endpoint, l.outcome, l.asked_at
    FROM retail.collection_log AS l
    WHERE l.hour_start >= %(answered_since)s::timestamptz - interval '2 hours'
    ORDER BY l.sensor_id, l.endpoint, l.asked_at DESC
  ) AS n
  WHERE n.outcome = ANY (%(nobody)s)
    AND EXISTS (
      SELECT FROM retail.vca_alarm_status AS v
      WHERE v.sensor_id = n.sensor_id AND v."timestamp" > n.asked_at AND v."timestamp" >= %(answered_since)s
        AND v."timestamp" <= %(now)s)
    AND NOT EXISTS (
      SELECT FROM retail.vca_alarm_status AS v
      WHERE v.sensor_id = n.sensor_id AND v."timestamp" > n.asked_at - %(within)s::interval AND v."timestamp" <= n.asked_at)
), held AS (
  SELECT s.id, s.sensor_name, s.timezone, s.created_at, a.endpoint,
    greatest(
      ((%(now)s AT TIME ZONE s.timezone)::date
        - least(coalesce((s.retention_days ->> a.endpoint)::integer, d.days), %(most_days)s))::timestamp AT TIME ZONE s.timezone,
      s.installed_on::timestamp AT TIME ZONE s.timezone) AS since
  FROM answering AS a
  JOIN retail.sensor_metadata AS s ON s.id = a.sensor_id
  JOIN unnest(%(endpoints)s::text[], %(held_days)s::integer[]) AS d (endpoint, days) ON d.endpoint = a.endpoint
  WHERE s.is_active AND s.endpoints ? a.endpoint
), missing AS (
  SELECT h.sensor_name, h.endpoint, floor(extract(epoch FROM e.hour_start) / 3600)::bigint AS utc_hour
  FROM held AS h
  JOIN expected AS e ON e.timezone = h.timezone AND e.hour_start >= h.since
  LEFT JOIN retail.collection_log AS l ON l.sensor_id = h.id AND l.endpoint = h.endpoint AND l.hour_start = e.hour_start
  WHERE (l.sensor_id IS NULL AND e.hour_start < h.created_at) = %(is_history)s
    AND CASE
      WHEN l.outcome IN ('ok', 'ok_with_rejects') AND l.asked_at >= l.hour_start + interval '2 hours' THEN false
      WHEN l.outcome = 'beyond_retention' THEN false
      WHEN l.outcome = 'no_rows' THEN
        l.asked_at < l.hour_start + interval '25 hours' AND %(now)s >= l.hour_start + interval '25 hours'
      WHEN h.endpoint = 'people_counting' THEN NOT EXISTS (
        SELECT FROM retail.people_counting_raw AS r
        WHERE r.sensor_id = h.id AND r."timestamp" = e.hour_start AND r.is_final)
      WHEN h.endpoint = 'regional_counting' THEN NOT EXISTS (
        SELECT FROM retail.regional_counting_raw AS r
        WHERE r.sensor_id = h.id AND r."timestamp" = e.hour_start AND r.is_final)
      ELSE NOT EXISTS (
        SELECT FROM retail.heatmap_temporal_raw AS r
        WHERE r.sensor_id = h.id AND r."timestamp" = e.hour_start AND r.is_final)
    END
), numbered AS (
  SELECT m.*, m.utc_hour - dense_rank() OVER (PARTITION BY m.sensor_name, m.endpoint ORDER BY m.utc_hour) AS island
  FROM missing AS m
)
SELECT sensor_name, endpoint, min(utc_hour), max(utc_hour)
FROM numbered
GROUP BY sensor_name, endpoint, island
ORDER BY 1, 2, 3

-- name: present
-- The database's own instant: what rows written from now on have at least in `updated_at`.
SELECT clock_timestamp()

-- name: hours_came_in
-- Whether a raw row of the window was written or changed since :since.
SELECT EXISTS (
    SELECT FROM retail.people_counting_raw
    WHERE "timestamp" >= %(start)s AND "timestamp" < %(end)s AND updated_at >= %(since)s)
  OR EXISTS (
    SELECT FROM retail.regional_counting_raw
    WHERE "timestamp" >= %(start)s AND "timestamp" < %(end)s AND updated_at >= %(since)s)
  OR EXISTS (
    SELECT FROM retail.heatmap_temporal_raw
    WHERE "timestamp" >= %(start)s AND "timestamp" < %(end)s AND updated_at >= %(since)s)

-- name: touched_days
-- Dates whose figures are made of hours of the window that were written or changed since :since: the store's local date, the date
-- of the occupancy day, which runs from reset to reset, and the stored like days of the next four weeks, which are compared
-- with these. Only dates that have ended in that store.
WITH changed AS (
  SELECT s.store_id, h.hour_start
  FROM retail.hourly_analytics AS h
  JOIN retail.sensor_metadata AS s ON s.id = h.sensor_id
  WHERE h.hour_start >= %(start)s AND h.hour_start < %(end)s AND h.updated_at >= %(since)s
  UNION
  SELECT h.store_id, h.hour_start
  FROM retail.store_hourly AS h
  WHERE h.hour_start >= %(start)s AND h.hour_start < %(end)s AND h.updated_at >= %(since)s
), touched AS (
  SELECT DISTINCT c.store_id, (%(now)s AT TIME ZONE t.timezone)::date AS today, d.date
  FROM changed AS c
  JOIN retail.stores AS t ON t.id = c.store_id
  CROSS JOIN LATERAL (VALUES
    ((c.hour_start AT TIME ZONE t.timezone)::date),
    (((c.hour_start AT TIME ZONE t.timezone) - t.occupancy_reset_time)::date)) AS d (date)
)
SELECT DISTINCT d.date + later.days AS date
FROM touched AS d
CROSS JOIN generate_series(0, 28, 7) AS later (days)
WHERE d.date + later.days < d.today
  AND (later.days = 0 OR EXISTS (
    SELECT FROM retail.store_daily AS f WHERE f.store_id = d.store_id AND f.date = d.date + later.days))
ORDER BY 1
