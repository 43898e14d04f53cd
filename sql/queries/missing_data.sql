-- Statements on estimates of missing hours: figures that no longer hold the estimate that is stored.

-- name: cameras_to_mend
-- Hours of cameras within the window whose figures hold other counts than the estimate that is stored, or one that is no longer
-- stored; hours without figures are left out.
SELECT h.sensor_id::text, h.hour_start
FROM retail.imputed_hours AS e
JOIN retail.hourly_analytics AS h USING (sensor_id, hour_start)
WHERE e.hour_start >= %(start)s AND e.hour_start < %(end)s
  AND (h.total_entries, h.total_exits, h.passersby) IS DISTINCT FROM (e.entries, e.exits, e.passersby)
UNION ALL
SELECT h.sensor_id::text, h.hour_start
FROM retail.hourly_analytics AS h
WHERE h.imputed_share > 0 AND h.hour_start >= %(start)s AND h.hour_start < %(end)s
  AND NOT EXISTS (
    SELECT FROM retail.imputed_hours AS e WHERE e.sensor_id = h.sensor_id AND e.hour_start = h.hour_start)

-- name: stores_to_mend
-- Hours of stores within the window in which a camera is or was estimated, and whose sums are not those of the cameras' hours.
-- A thousandth of a person is a rounding.
WITH touched AS (
  SELECT s.store_id, h.hour_start
  FROM retail.hourly_analytics AS h
  JOIN retail.sensor_metadata AS s ON s.id = h.sensor_id
  WHERE h.imputed_share > 0 AND h.hour_start >= %(start)s AND h.hour_start < %(end)s
  UNION
  SELECT store_id, hour_start
  FROM retail.store_hourly
  WHERE imputed_share > 0 AND hour_start >= %(start)s AND hour_start < %(end)s
), sums AS (
  SELECT t.store_id, t.hour_start, sum(h.total_entries) AS entries, sum(h.total_exits) AS exits, sum(h.passersby) AS passersby
  FROM touched AS t
  JOIN retail.sensor_metadata AS s ON s.store_id = t.store_id
  JOIN retail.hourly_analytics AS h ON h.sensor_id = s.id AND h.hour_start = t.hour_start
  GROUP BY 1, 2
)
SELECT f.store_id::text, f.hour_start
FROM sums AS c
JOIN retail.store_hourly AS f USING (store_id, hour_start)
WHERE coalesce(abs(f.total_entries - c.entries) > 0.001, num_nulls(f.total_entries, c.entries) = 1)
  OR coalesce(abs(f.total_exits - c.exits) > 0.001, num_nulls(f.total_exits, c.exits) = 1)
  OR coalesce(abs(f.passersby - c.passersby) > 0.001, num_nulls(f.passersby, c.passersby) = 1)
