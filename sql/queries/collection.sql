-- Statements on what was collected.

-- name: outcomes_of_range
-- One row for each named camera and endpoint that runs :runs asked within the window: hours asked for, hours that stand
-- in the raw table, and the sentence of the commonest failure among those that do not.
WITH asked AS (
  SELECT l.sensor_id, l.endpoint, l.hour_start, l.outcome, l.error,
    CASE l.endpoint
      WHEN 'people_counting' THEN EXISTS (
        SELECT FROM retail.people_counting_raw AS r WHERE r.sensor_id = l.sensor_id AND r."timestamp" = l.hour_start)
      WHEN 'regional_counting' THEN EXISTS (
        SELECT FROM retail.regional_counting_raw AS r WHERE r.sensor_id = l.sensor_id AND r."timestamp" = l.hour_start)
      ELSE EXISTS (
        SELECT FROM retail.heatmap_temporal_raw AS r WHERE r.sensor_id = l.sensor_id AND r."timestamp" = l.hour_start)
    END AS is_in
  FROM retail.collection_log AS l
  WHERE l.hour_start >= %(start)s AND l.hour_start < %(end)s
    AND l.endpoint = ANY (%(endpoints)s)
    AND l.run_id = ANY (%(runs)s)
)
SELECT s.sensor_name, a.endpoint, count(*)::integer AS asked, (count(*) FILTER (WHERE a.is_in))::integer AS is_in,
  mode() WITHIN GROUP (ORDER BY coalesce(a.error, a.outcome)) FILTER (WHERE NOT a.is_in) AS why
FROM asked AS a
JOIN retail.sensor_metadata AS s ON s.id = a.sensor_id
WHERE s.sensor_name = ANY (%(names)s)
GROUP BY s.sensor_name, a.endpoint
ORDER BY s.sensor_name, a.endpoint

-- name: first_incomplete_hour
-- First hour of the window for which an active camera, other than :without, has no final people counts; NULL: none.
SELECT min(h.hour_start)
FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '1 hour', interval '1 hour') AS h (hour_start)
CROSS JOIN retail.sensor_metadata AS s
WHERE s.is_active AND s.sensor_name <> %(without)s
  AND NOT EXISTS (
    SELECT FROM retail.people_counting_raw AS r
    WHERE r.sensor_id = s.id AND r.is_final
      AND r."timestamp" >= h.hour_start AND r."timestamp" < h.hour_start + interval '1 hour'
  )

-- name: days_of_stores
-- The stores' days since :since, for a table on the terminal.
SELECT s.store_name, d.date, d.total_visitors, d.total_entries, d.total_exits, d.peak_hour, d.capture_rate_percent,
  d.data_completeness
FROM retail.store_daily AS d
JOIN retail.stores AS s ON s.id = d.store_id
WHERE d.date >= %(since)s
ORDER BY s.store_name, d.date
