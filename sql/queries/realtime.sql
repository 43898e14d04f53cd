-- Minute rows: what retail_sensors/storage/realtime.py asks. Instants are seconds since 1970.

-- name: polled_cameras
-- Those of the cameras :sensors that have a row in the minute that starts at :minute.
SELECT DISTINCT sensor_id::text
FROM retail.realtime_analytics
WHERE sensor_id = ANY (%(sensors)s::uuid[])
  AND period_end >= %(minute)s::timestamptz AND period_end < %(minute)s::timestamptz + interval '1 minute'

-- name: rows_before
-- The newest row of each of the cameras :sensors from before the minute, at most 7 days old, with what its reading said, and what
-- was counted a quarter of an hour before the minute. A sum that rests on the running hour is no link: it is NULL.
SELECT a.sensor_id::text, extract(epoch FROM r.period_end)::bigint AS period_end,
  CASE WHEN r.quality ->> 'net_count' IS NULL THEN r.net_count END AS net_count, r.current_count, r.peak_count,
  extract(epoch FROM r.peak_timestamp)::bigint AS peak_second, r.average_count, r.observed_minutes,
  CASE WHEN r.quality ->> 'hourly_count' IS NULL THEN r.hourly_count END AS hourly_count,
  CASE WHEN r.quality ->> 'daily_count' IS NULL THEN r.daily_count END AS daily_count,
  b.current_count AS earlier_count,
  v.current_in_count, v.current_out_count, v.region_entrance_alarm_status, v.region_exit_alarm_status, v.counter_alarm_status,
  v.region1_in_alarm, v.region1_out_alarm, v.region2_in_alarm, v.region2_out_alarm, v.region3_in_alarm, v.region3_out_alarm,
  v.region4_in_alarm, v.region4_out_alarm, v.current_counter_alarm
FROM unnest(%(sensors)s::uuid[]) AS a (sensor_id)
CROSS JOIN LATERAL (
  SELECT r.*
  FROM retail.realtime_analytics AS r
  WHERE r.sensor_id = a.sensor_id
    AND r.period_end < %(minute)s::timestamptz AND r.period_end >= %(minute)s::timestamptz - interval '7 days'
  ORDER BY r.period_end DESC
  LIMIT 1
) AS r
LEFT JOIN retail.vca_alarm_status AS v
  ON v.sensor_id = r.sensor_id AND v."timestamp" = r.period_end
  AND v."timestamp" < %(minute)s::timestamptz AND v."timestamp" >= %(minute)s::timestamptz - interval '7 days'
LEFT JOIN LATERAL (
  SELECT b.current_count
  FROM retail.realtime_analytics AS b
  WHERE b.sensor_id = a.sensor_id
    AND b.period_end < %(minute)s::timestamptz - interval '14 minutes'
    AND b.period_end >= %(minute)s::timestamptz - interval '20 minutes'
  ORDER BY b.period_end DESC
  LIMIT 1
) AS b ON true

-- name: flags_since
-- The readings of the cameras :sensors that have a minute row from after :since to :now, in the order of time by camera, and before
-- these the newest of each camera, at most 7 days older.
SELECT a.sensor_id::text, r.is_new, extract(epoch FROM r.period_end)::bigint AS period_end, v.region_entrance_alarm_status,
  v.region_exit_alarm_status, v.counter_alarm_status, v.region1_in_alarm, v.region1_out_alarm, v.region2_in_alarm,
  v.region2_out_alarm, v.region3_in_alarm, v.region3_out_alarm, v.region4_in_alarm, v.region4_out_alarm, v.current_counter_alarm
FROM unnest(%(sensors)s::uuid[]) AS a (sensor_id)
CROSS JOIN LATERAL (
  SELECT n.period_end, true AS is_new
  FROM retail.realtime_analytics AS n
  WHERE n.sensor_id = a.sensor_id AND n.period_end > %(since)s::timestamptz AND n.period_end <= %(now)s::timestamptz
  UNION ALL
  (SELECT o.period_end, false
  FROM retail.realtime_analytics AS o
  WHERE o.sensor_id = a.sensor_id
    AND o.period_end <= %(since)s::timestamptz AND o.period_end >= %(since)s::timestamptz - interval '7 days'
  ORDER BY o.period_end DESC
  LIMIT 1)
) AS r
JOIN retail.vca_alarm_status AS v
  ON v.sensor_id = a.sensor_id AND v."timestamp" = r.period_end
  AND v."timestamp" <= %(now)s::timestamptz AND v."timestamp" >= %(since)s::timestamptz - interval '7 days'
ORDER BY a.sensor_id, r.period_end

-- name: last_asked
-- When each of the cameras :sensors was last asked about one of the last hours, and what became of it; that another kept the camera
-- says nothing of it.
SELECT DISTINCT ON (sensor_id) sensor_id::text, asked_at, outcome
FROM retail.collection_log
WHERE sensor_id = ANY (%(sensors)s::uuid[]) AND outcome <> 'busy'
  AND hour_start >= %(now)s::timestamptz - interval '3 hours' AND hour_start <= %(now)s::timestamptz + interval '1 hour'
ORDER BY sensor_id, asked_at DESC

-- name: counted_hours
-- Measured hours of the cameras :sensors since :since, and until when each is counted: its end, or its last collection.
SELECT h.sensor_id::text, extract(epoch FROM h.hour_start)::bigint AS hour_start, h.total_entries::double precision AS entries,
  h.total_exits::double precision AS exits,
  extract(epoch FROM CASE WHEN h.is_provisional THEN least(l.last_success_at, h.hour_start + interval '1 hour')
    ELSE h.hour_start + interval '1 hour' END)::bigint AS counted_until
FROM retail.hourly_analytics AS h
LEFT JOIN retail.collection_log AS l
  ON h.is_provisional AND l.sensor_id = h.sensor_id AND l.endpoint = 'people_counting' AND l.hour_start = h.hour_start
  AND l.hour_start >= %(since)s::timestamptz AND l.hour_start <= %(now)s::timestamptz
WHERE h.sensor_id = ANY (%(sensors)s::uuid[])
  AND h.hour_start >= %(since)s::timestamptz AND h.hour_start <= %(now)s::timestamptz
  AND h.total_entries IS NOT NULL AND h.total_exits IS NOT NULL AND h.quality ->> 'counts' IN ('measured', 'provisional')

-- name: minutes_of_stores
-- How full each store was since :since: of each minute its newest row that knows it.
SELECT DISTINCT ON (s.store_id, date_trunc('minute', r.period_end)) s.store_id::text, r.period_start, r.period_end,
  r.current_count, r.current_occupancy_percent
FROM retail.realtime_analytics AS r
JOIN retail.sensor_metadata AS s ON s.id = r.sensor_id
WHERE r.period_end >= %(since)s::timestamptz AND r.period_end <= %(now)s::timestamptz
  AND r.period_start IS NOT NULL AND r.current_occupancy_percent IS NOT NULL
ORDER BY s.store_id, date_trunc('minute', r.period_end), r.period_end DESC
