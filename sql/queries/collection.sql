-- Statements on what was collected.

-- name: registered_sensors
-- Those of the cameras :sensors that are registered.
SELECT id::text FROM retail.sensor_metadata WHERE id = ANY (%(sensors)s::uuid[])

-- name: clocks_of_stores
-- Zones and reset times of the stores that the cameras :sensors hang in.
SELECT DISTINCT t.timezone, t.occupancy_reset_time
FROM retail.stores AS t
JOIN retail.sensor_metadata AS s ON s.store_id = t.id
WHERE s.id = ANY (%(sensors)s::uuid[])
ORDER BY 1, 2

-- name: span_of_figures
-- First and last hour of the window that has figures; NULL: none has.
SELECT min(hour_start), max(hour_start)
FROM retail.hourly_analytics
WHERE hour_start >= %(start)s AND hour_start < %(end)s

-- name: outcomes_of_range
-- One row for each of the cameras :sensors and each endpoint that was asked within the window since :started: hours asked for,
-- hours of them that are in, and the sentence of the commonest failure among those that are not. An hour is in when its row
-- stands in the raw table and is final, or was given since then (a schedule may have asked again): a row of when the hour still ran is not enough.
WITH asked AS (
  SELECT l.sensor_id, l.endpoint, l.outcome, l.error,
    CASE
      WHEN l.outcome IN ('ok', 'ok_with_rejects') THEN true
      WHEN l.endpoint = 'people_counting' THEN EXISTS (
        SELECT FROM retail.people_counting_raw AS r
        WHERE r.sensor_id = l.sensor_id AND r."timestamp" = l.hour_start AND r.is_final)
      WHEN l.endpoint = 'regional_counting' THEN EXISTS (
        SELECT FROM retail.regional_counting_raw AS r
        WHERE r.sensor_id = l.sensor_id AND r."timestamp" = l.hour_start AND r.is_final)
      ELSE EXISTS (
        SELECT FROM retail.heatmap_temporal_raw AS r
        WHERE r.sensor_id = l.sensor_id AND r."timestamp" = l.hour_start AND r.is_final)
    END AS is_in
  FROM retail.collection_log AS l
  WHERE l.hour_start >= %(start)s AND l.hour_start < %(end)s
    AND l.endpoint = ANY (%(endpoints)s)
    AND l.sensor_id = ANY (%(sensors)s::uuid[])
    AND l.asked_at >= %(started)s
)
SELECT a.sensor_id::text, a.endpoint, count(*)::integer AS logged, (count(*) FILTER (WHERE a.is_in))::integer AS is_in,
  mode() WITHIN GROUP (ORDER BY coalesce(a.error, a.outcome)) FILTER (WHERE NOT a.is_in) AS why
FROM asked AS a
GROUP BY a.sensor_id, a.endpoint

-- name: first_incomplete_hour
-- First hour of the window for which one of the cameras :names lacks a final row of an endpoint that it has, or whose
-- figures, by the hour or of a day that has ended by :now, are not computed; NULL: none. The window's last hour may be running.
SELECT min(h.hour_start)
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') AS h (hour_start)
CROSS JOIN retail.sensor_metadata AS s
JOIN retail.stores AS t ON t.id = s.store_id
CROSS JOIN LATERAL (SELECT ((h.hour_start AT TIME ZONE t.timezone)::date) AS local_day) AS d
WHERE s.sensor_name = ANY (%(names)s)
  AND (
    NOT EXISTS (
      SELECT FROM retail.people_counting_raw AS r
      WHERE r.sensor_id = s.id AND r.is_final
        AND r."timestamp" >= h.hour_start AND r."timestamp" < h.hour_start + interval '1 hour')
    OR s.endpoints ? 'regional_counting' AND NOT EXISTS (
      SELECT FROM retail.regional_counting_raw AS r
      WHERE r.sensor_id = s.id AND r.is_final
        AND r."timestamp" >= h.hour_start AND r."timestamp" < h.hour_start + interval '1 hour')
    OR s.endpoints ? 'heatmap_temporal' AND NOT EXISTS (
      SELECT FROM retail.heatmap_temporal_raw AS r
      WHERE r.sensor_id = s.id AND r.is_final
        AND r."timestamp" >= h.hour_start AND r."timestamp" < h.hour_start + interval '1 hour')
    OR NOT EXISTS (
      SELECT FROM retail.hourly_analytics AS f
      WHERE f.sensor_id = s.id
        AND f.hour_start >= h.hour_start AND f.hour_start < h.hour_start + interval '1 hour')
    OR NOT EXISTS (
      SELECT FROM retail.store_hourly AS f
      WHERE f.store_id = t.id
        AND f.hour_start >= h.hour_start AND f.hour_start < h.hour_start + interval '1 hour')
    OR (d.local_day + 1)::timestamp AT TIME ZONE t.timezone <= %(now)s::timestamptz AND NOT EXISTS (
      SELECT FROM retail.store_daily AS f WHERE f.store_id = t.id AND f.date = d.local_day)
  )

-- name: calendar_is_missing
-- A row where there is no calendar of retail weeks, or no public holiday of the country of some store.
SELECT 1
WHERE NOT EXISTS (SELECT FROM retail.retail_calendar)
  OR EXISTS (
    SELECT FROM retail.stores AS t
    WHERE t.country IS NOT NULL AND NOT EXISTS (SELECT FROM retail.holidays AS h WHERE h.country = t.country))

-- name: later_days
-- First and last stored day after :last, up to 52 weeks on: days that are compared with earlier ones. NULL: none.
SELECT min(date), max(date)
FROM retail.store_daily
WHERE date > %(last)s AND date <= %(last)s + 364

-- name: days_of_stores
-- The stores' days since :since, for a table on the terminal.
SELECT s.store_name, d.date, d.total_visitors, d.total_entries, d.total_exits, d.peak_hour, d.capture_rate_percent,
  d.data_completeness
FROM retail.store_daily AS d
JOIN retail.stores AS s ON s.id = d.store_id
WHERE d.date >= %(since)s
ORDER BY s.store_name, d.date
