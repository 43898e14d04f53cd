-- Statements on rows that came in late: what retail_sensors/storage/late.py asks.

-- name: late_hours
-- UTC hours (counted since 1970) from :after to :before (exclusive) of which a row was written or changed after :since and up to
-- :until, and whose figures are older than that row, in order, the first :most of them. Readings of an hour without figures are
-- late; what a till feed or a staff list says of an hour in which no camera of the store counted changes nothing.
WITH came AS (
  SELECT sensor_id, "timestamp" AS hour_start, updated_at
  FROM retail.people_counting_raw
  WHERE updated_at > %(since)s AND updated_at <= %(until)s AND "timestamp" >= %(after)s AND "timestamp" < %(before)s
  UNION ALL
  SELECT sensor_id, "timestamp", updated_at
  FROM retail.regional_counting_raw
  WHERE updated_at > %(since)s AND updated_at <= %(until)s AND "timestamp" >= %(after)s AND "timestamp" < %(before)s
  UNION ALL
  SELECT sensor_id, "timestamp", updated_at
  FROM retail.heatmap_temporal_raw
  WHERE updated_at > %(since)s AND updated_at <= %(until)s AND "timestamp" >= %(after)s AND "timestamp" < %(before)s
), fed AS (
  SELECT store_id, hour_start, updated_at
  FROM retail.pos_transactions
  WHERE updated_at > %(since)s AND updated_at <= %(until)s AND hour_start >= %(after)s AND hour_start < %(before)s
  UNION ALL
  SELECT store_id, hour_start, updated_at
  FROM retail.staff_hours
  WHERE updated_at > %(since)s AND updated_at <= %(until)s AND hour_start >= %(after)s AND hour_start < %(before)s
), late AS (
  SELECT c.hour_start
  FROM came AS c
  LEFT JOIN retail.hourly_analytics AS h ON h.sensor_id = c.sensor_id AND h.hour_start = c.hour_start
  WHERE h.updated_at IS NULL OR h.updated_at < c.updated_at
  UNION
  SELECT f.hour_start
  FROM fed AS f
  JOIN retail.store_hourly AS h ON h.store_id = f.store_id AND h.hour_start = f.hour_start
  WHERE h.updated_at < f.updated_at
)
SELECT DISTINCT floor(extract(epoch FROM hour_start) / 3600)::bigint
FROM late
ORDER BY 1
LIMIT %(most)s

-- name: days_of_feeds
-- Local dates, ended and with figures, of the hours of the window of which a till feed or a staff list was written or changed after
-- :since and up to :until: not all that they change stands in hourly figures.
WITH fed AS (
  SELECT store_id, hour_start
  FROM retail.pos_transactions
  WHERE updated_at > %(since)s AND updated_at <= %(until)s AND hour_start >= %(start)s AND hour_start < %(end)s
  UNION
  SELECT store_id, hour_start
  FROM retail.staff_hours
  WHERE updated_at > %(since)s AND updated_at <= %(until)s AND hour_start >= %(start)s AND hour_start < %(end)s
)
SELECT DISTINCT d.date
FROM fed AS f
JOIN retail.stores AS t ON t.id = f.store_id
JOIN retail.store_daily AS d ON d.store_id = f.store_id AND d.date = (f.hour_start AT TIME ZONE t.timezone)::date
WHERE d.date < (%(now)s AT TIME ZONE t.timezone)::date
ORDER BY 1
