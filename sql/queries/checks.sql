-- What the asset checks ask of the data; what they make of it is in retail_sensors/analytics/checks.py.

-- name: asked_hours
-- What became of each hour of the window that the active cameras with :endpoint were asked for; one row without an hour for a
-- camera that was not asked. An hour is in when the newest answer gave its row, or when its row stands and is final.
SELECT s.sensor_name AS camera, s.timezone, s.last_seen_at, l.hour_start, l.outcome,
  CASE
    WHEN l.row_count > 0 THEN true
    WHEN l.endpoint = 'people_counting' THEN EXISTS (
      SELECT FROM retail.people_counting_raw AS r
      WHERE r.sensor_id = l.sensor_id AND r."timestamp" = l.hour_start AND r.is_final)
    WHEN l.endpoint = 'regional_counting' THEN EXISTS (
      SELECT FROM retail.regional_counting_raw AS r
      WHERE r.sensor_id = l.sensor_id AND r."timestamp" = l.hour_start AND r.is_final)
    WHEN l.endpoint = 'heatmap_temporal' THEN EXISTS (
      SELECT FROM retail.heatmap_temporal_raw AS r
      WHERE r.sensor_id = l.sensor_id AND r."timestamp" = l.hour_start AND r.is_final)
    ELSE false
  END AS is_in
FROM retail.sensor_metadata AS s
LEFT JOIN retail.collection_log AS l
  ON l.sensor_id = s.id AND l.endpoint = %(endpoint)s::text AND l.hour_start >= %(start)s AND l.hour_start < %(end)s
WHERE s.is_active AND s.endpoints ? %(endpoint)s::text
ORDER BY s.sensor_name, l.hour_start

-- name: lowered_hours
-- Readings of the window's hours in table :table that were lower than the stored ones: sums of what stands and what does not.
SELECT s.sensor_name AS camera, s.timezone, v."timestamp", v.action, v.run_id,
  (SELECT sum(k.value::double precision) FROM jsonb_each_text(v.kept) AS k) AS kept,
  (SELECT sum(a.value::double precision) FROM jsonb_each_text(v.set_aside) AS a) AS set_aside
FROM retail.raw_revisions AS v
JOIN retail.sensor_metadata AS s ON s.id = v.sensor_id
WHERE v.table_name = %(table)s AND v."timestamp" >= %(start)s AND v."timestamp" < %(end)s
ORDER BY s.sensor_name, v."timestamp", v.recorded_at

-- name: counts_beside_usual
-- Counts of the window's hours, and of the hours before it that are of a local day which ends in it; beside each the same hour
-- of the 8 weeks before by the camera's clock: in how many of them it counted, their median, and both directions over all of them.
SELECT s.sensor_name AS camera, s.timezone, r."timestamp", (r."timestamp" AT TIME ZONE s.timezone)::date AS local_day,
  ((r."timestamp" AT TIME ZONE s.timezone)::date + 1)::timestamp AT TIME ZONE s.timezone <= %(end)s::timestamptz AS has_ended,
  r."timestamp" >= %(start)s::timestamptz AS is_inside, r.total_in, r.total_out, u.weeks, u.usual, u.usual_in, u.usual_out
FROM retail.people_counting_raw AS r
JOIN retail.sensor_metadata AS s ON s.id = r.sensor_id
CROSS JOIN LATERAL (
  SELECT count(p.total_in + p.total_out) AS weeks,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY p.total_in + p.total_out) AS usual,
    coalesce(sum(p.total_in), 0) AS usual_in, coalesce(sum(p.total_out), 0) AS usual_out
  FROM generate_series(1, 8) AS w (week)
  JOIN retail.people_counting_raw AS p
    ON p.sensor_id = r.sensor_id AND p.is_final
    AND p."timestamp" = (r."timestamp" AT TIME ZONE s.timezone - make_interval(weeks => w.week)) AT TIME ZONE s.timezone
) AS u
WHERE r."timestamp" >= %(start)s::timestamptz - interval '25 hours' AND r."timestamp" < %(end)s
  AND (r."timestamp" >= %(start)s
    OR ((r."timestamp" AT TIME ZONE s.timezone)::date + 1)::timestamp AT TIME ZONE s.timezone > %(start)s
    AND ((r."timestamp" AT TIME ZONE s.timezone)::date + 1)::timestamp AT TIME ZONE s.timezone <= %(end)s)
ORDER BY s.sensor_name, r."timestamp"

-- name: hours_beside_cameras
-- Each store's hours of the window beside the sums of its cameras' hours.
SELECT t.store_name AS store, to_char(f.hour_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') AS at,
  f.total_entries::double precision, f.total_exits::double precision, f.passersby::double precision,
  c.total_entries::double precision AS total_entries_of_cameras, c.total_exits::double precision AS total_exits_of_cameras,
  c.passersby::double precision AS passersby_of_cameras
FROM retail.store_hourly AS f
JOIN retail.stores AS t ON t.id = f.store_id
LEFT JOIN (
  SELECT s.store_id, h.hour_start, sum(h.total_entries) AS total_entries, sum(h.total_exits) AS total_exits,
    sum(h.passersby) AS passersby
  FROM retail.hourly_analytics AS h
  JOIN retail.sensor_metadata AS s ON s.id = h.sensor_id
  WHERE h.hour_start >= %(start)s AND h.hour_start < %(end)s
  GROUP BY 1, 2
) AS c ON c.store_id = f.store_id AND c.hour_start = f.hour_start
WHERE f.hour_start >= %(start)s AND f.hour_start < %(end)s
ORDER BY t.store_name, f.hour_start

-- name: shares_of_stores
-- Each store's people of the window, how many of them are estimates, and its hours without any count.
SELECT t.store_name AS store, sum(n.people)::double precision AS people,
  sum(n.people * coalesce(f.imputed_share, 0))::double precision AS estimated,
  count(*) FILTER (WHERE f.total_entries IS NULL)::integer AS hours_without_count
FROM retail.store_hourly AS f
JOIN retail.stores AS t ON t.id = f.store_id
CROSS JOIN LATERAL (
  SELECT coalesce(f.total_entries, 0) + coalesce(f.total_exits, 0) + coalesce(f.passersby, 0) AS people
) AS n
WHERE f.hour_start >= %(start)s AND f.hour_start < %(end)s
GROUP BY t.store_name
ORDER BY t.store_name

-- name: days_beside_cameras
-- Each store's days of the dates beside the sums of its cameras' days.
SELECT t.store_name AS store, f.date::text AS at,
  f.total_entries::double precision, f.total_exits::double precision, f.passersby::double precision,
  c.total_entries::double precision AS total_entries_of_cameras, c.total_exits::double precision AS total_exits_of_cameras,
  c.passersby::double precision AS passersby_of_cameras
FROM retail.store_daily AS f
JOIN retail.stores AS t ON t.id = f.store_id
LEFT JOIN (
  SELECT s.store_id, d.date, sum(d.total_entries) AS total_entries, sum(d.total_exits) AS total_exits,
    sum(d.passersby) AS passersby
  FROM retail.daily_analytics AS d
  JOIN retail.sensor_metadata AS s ON s.id = d.sensor_id
  WHERE d.date >= %(start)s::date AND d.date < %(end)s::date
  GROUP BY 1, 2
) AS c ON c.store_id = f.store_id AND c.date = f.date
WHERE f.date >= %(start)s::date AND f.date < %(end)s::date
ORDER BY t.store_name, f.date

-- name: newest_hours_of_stores
-- The newest hour that some camera counted, as the stores' figures have it, of each store with an active camera; NULL: none.
-- `counted` are the words of quality for it; an hour of which a part was estimated is as complete as it was measured.
SELECT t.id::text AS store_id, t.created_at, n.hour_start, n.updated_at
FROM retail.stores AS t
LEFT JOIN LATERAL (
  SELECT f.hour_start, f.updated_at
  FROM retail.store_hourly AS f
  WHERE f.store_id = t.id AND f.hour_start <= %(now)s
    AND (f.data_completeness > 0 OR f.quality ->> 'counts' = ANY (%(counted)s))
  ORDER BY f.hour_start DESC
  LIMIT 1
) AS n ON true
WHERE EXISTS (SELECT FROM retail.sensor_metadata AS s WHERE s.store_id = t.id AND s.is_active)
ORDER BY t.id

-- name: newest_hours_of_cameras
-- The same as the cameras' figures have it.
SELECT t.id::text AS store_id, t.created_at, n.hour_start, n.updated_at
FROM retail.stores AS t
LEFT JOIN LATERAL (
  SELECT f.hour_start, f.updated_at
  FROM retail.sensor_metadata AS s
  CROSS JOIN LATERAL (
    SELECT h.hour_start, h.updated_at
    FROM retail.hourly_analytics AS h
    WHERE h.sensor_id = s.id AND h.hour_start <= %(now)s
      AND (h.data_completeness > 0 OR h.quality ->> 'counts' = ANY (%(counted)s))
    ORDER BY h.hour_start DESC
    LIMIT 1
  ) AS f
  WHERE s.store_id = t.id
  ORDER BY f.hour_start DESC
  LIMIT 1
) AS n ON true
WHERE EXISTS (SELECT FROM retail.sensor_metadata AS s WHERE s.store_id = t.id AND s.is_active)
ORDER BY t.id

-- name: newest_days_of_stores
-- The newest day of which an hour was measured, of each store with an active camera; NULL: none.
SELECT t.store_name AS store, t.timezone, t.created_at, n.date
FROM retail.stores AS t
LEFT JOIN LATERAL (
  SELECT f.date
  FROM retail.store_daily AS f
  WHERE f.store_id = t.id AND f.data_completeness > 0
  ORDER BY f.date DESC
  LIMIT 1
) AS n ON true
WHERE EXISTS (SELECT FROM retail.sensor_metadata AS s WHERE s.store_id = t.id AND s.is_active)
ORDER BY t.store_name

-- name: newest_origins
-- The newest origin from which each active camera was predicted; a camera without any is left out.
SELECT s.sensor_name AS camera, n.prediction_time
FROM retail.sensor_metadata AS s
CROSS JOIN LATERAL (
  SELECT p.prediction_time
  FROM retail.predictions AS p
  WHERE p.sensor_id = s.id AND p.prediction_type = 'traffic' AND p.prediction_time <= %(now)s
  ORDER BY p.prediction_time DESC
  LIMIT 1
) AS n
WHERE s.is_active
ORDER BY s.sensor_name
