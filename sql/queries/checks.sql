-- What the asset checks ask of the data; what they make of it is in retail_sensors/analytics/checks.py.

-- name: asked_hours
-- What became of each hour of the window that the active cameras with :endpoint were asked for; one row without an hour for a
-- camera that was not asked, where it was registered and installed before the window. An hour is in when the newest answer gave its
-- row, or when its row stands and is final.
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
  AND (l.hour_start IS NOT NULL OR s.created_at < %(start)s::timestamptz
    AND (s.installed_on IS NULL OR s.installed_on <= (%(start)s::timestamptz AT TIME ZONE s.timezone)::date))
ORDER BY s.sensor_name, l.hour_start

-- name: asked_days
-- The same of the cameras' local days of the window, for the endpoints that are asked by the day; a camera that was not asked is left
-- out, it may lack the report.
SELECT s.sensor_name AS camera, s.timezone, s.last_seen_at, l.hour_start, l.outcome, l.row_count > 0 OR l.last_success_at IS NOT NULL
  AND CASE WHEN l.endpoint = 'region_stays' THEN EXISTS (
      SELECT FROM retail.region_stays AS r WHERE r.sensor_id = l.sensor_id AND r.date = d.date)
    ELSE EXISTS (SELECT FROM retail.heatmap_spatial_raw AS r WHERE r.sensor_id = l.sensor_id AND r.date = d.date)
  END AS is_in
FROM retail.collection_log AS l
JOIN retail.sensor_metadata AS s ON s.id = l.sensor_id
CROSS JOIN LATERAL (SELECT (l.hour_start AT TIME ZONE s.timezone)::date AS date) AS d
WHERE s.is_active AND l.endpoint = %(endpoint)s::text
  AND l.hour_start >= %(start)s::timestamptz - interval '1 day' AND l.hour_start < %(end)s::timestamptz + interval '1 day'
  AND d.date >= %(start)s::date AND d.date < %(end)s::date
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

-- name: figures_beside_parts
-- Figures of table :of in the window beside the sums of what they are made of: the cameras of a store, the hours of a local day, the
-- lines of a final reading by their roles. Of readings each one has a row, also where its figures are missing; else each figure has.
WITH parts AS (
  SELECT s.store_id AS id, 0 AS region, h.hour_start AS at, sum(h.total_entries) AS entries, sum(h.total_exits) AS exits,
    sum(h.passersby) AS passersby
  FROM retail.hourly_analytics AS h
  JOIN retail.sensor_metadata AS s ON s.id = h.sensor_id
  WHERE %(of)s = 'store_hourly' AND h.hour_start >= %(start)s AND h.hour_start < %(end)s
  GROUP BY 1, 3
  UNION ALL
  SELECT s.store_id, 0, d.date::timestamptz, sum(d.total_entries), sum(d.total_exits), sum(d.passersby)
  FROM retail.daily_analytics AS d
  JOIN retail.sensor_metadata AS s ON s.id = d.sensor_id
  WHERE %(of)s = 'store_daily' AND d.date >= %(start)s::date AND d.date < %(end)s::date
  GROUP BY 1, 3
  UNION ALL
  SELECT h.sensor_id, 0, (h.hour_start AT TIME ZONE t.timezone)::date::timestamptz, sum(h.total_entries), sum(h.total_exits),
    sum(h.passersby)
  FROM retail.hourly_analytics AS h
  JOIN retail.sensor_metadata AS s ON s.id = h.sensor_id
  JOIN retail.stores AS t ON t.id = s.store_id
  WHERE %(of)s = 'daily_analytics'
    AND h.hour_start >= %(start)s::timestamptz - interval '1 day' AND h.hour_start < %(end)s::timestamptz + interval '1 day'
  GROUP BY 1, 3
  UNION ALL
  SELECT h.sensor_id, c.key::integer, (h.hour_start AT TIME ZONE t.timezone)::date::timestamptz, sum(c.value::numeric), NULL, NULL
  FROM retail.hourly_analytics AS h
  JOIN retail.sensor_metadata AS s ON s.id = h.sensor_id
  JOIN retail.stores AS t ON t.id = s.store_id
  CROSS JOIN LATERAL jsonb_each_text(h.region_counts) AS c
  WHERE %(of)s = 'regional_analytics'
    AND h.hour_start >= %(start)s::timestamptz - interval '1 day' AND h.hour_start < %(end)s::timestamptz + interval '1 day'
  GROUP BY 1, 2, 3
  UNION ALL
  SELECT r.sensor_id, 0, r."timestamp",
    sum(CASE WHEN c.is_inverted THEN n.way_out ELSE n.way_in END) FILTER (WHERE c.role = 'entrance'),
    sum(CASE WHEN c.is_inverted THEN n.way_in ELSE n.way_out END) FILTER (WHERE c.role = 'entrance'),
    sum(n.way_in + n.way_out) FILTER (WHERE c.role = 'passerby')
  FROM retail.people_counting_raw AS r
  JOIN retail.sensor_metadata AS s ON s.id = r.sensor_id
  JOIN retail.stores AS t ON t.id = s.store_id
  JOIN retail.counting_lines AS c ON c.sensor_id = r.sensor_id AND c.role IN ('entrance', 'passerby')
  JOIN LATERAL (
    VALUES (1, r.line1_in, r.line1_out), (2, r.line2_in, r.line2_out), (3, r.line3_in, r.line3_out), (4, r.line4_in, r.line4_out)
  ) AS n (line_number, way_in, way_out) ON n.line_number = c.line_number
  WHERE %(of)s = 'hourly_analytics' AND r.is_final AND r."timestamp" >= %(start)s AND r."timestamp" < %(end)s
    AND (s.installed_on IS NULL OR (r."timestamp" AT TIME ZONE t.timezone)::date >= s.installed_on)
  GROUP BY 1, 3
  -- Of a reading with a line that the camera left out the figures hold an estimate.
  HAVING count(n.way_in + n.way_out) = count(*)
), wholes AS (
  SELECT store_id AS id, 0 AS region, hour_start AS at, total_entries AS entries, total_exits AS exits, passersby
  FROM retail.store_hourly
  WHERE %(of)s = 'store_hourly' AND hour_start >= %(start)s AND hour_start < %(end)s
  UNION ALL
  SELECT store_id, 0, date::timestamptz, total_entries, total_exits, passersby
  FROM retail.store_daily
  WHERE %(of)s = 'store_daily' AND date >= %(start)s::date AND date < %(end)s::date
  UNION ALL
  SELECT sensor_id, 0, date::timestamptz, total_entries, total_exits, passersby
  FROM retail.daily_analytics
  WHERE %(of)s = 'daily_analytics' AND date >= %(start)s::date AND date < %(end)s::date
  UNION ALL
  SELECT sensor_id, region_number, date::timestamptz, (metrics ->> 'entries')::numeric, NULL, NULL
  FROM retail.regional_analytics
  WHERE %(of)s = 'regional_analytics' AND date >= %(start)s::date AND date < %(end)s::date
    AND bucket_size = '1day' AND metrics ->> 'source' = 'measured'
  UNION ALL
  SELECT sensor_id, 0, hour_start, total_entries, total_exits, passersby
  FROM retail.hourly_analytics
  WHERE %(of)s = 'hourly_analytics' AND hour_start >= %(start)s AND hour_start < %(end)s
)
SELECT coalesce(t.store_name, s.sensor_name) || CASE WHEN region > 0 THEN ' region ' || region ELSE '' END AS subject,
  to_char(at, CASE WHEN %(of)s IN ('store_hourly', 'hourly_analytics') THEN 'YYYY-MM-DD HH24:MI' ELSE 'YYYY-MM-DD' END) AS at,
  f.figure, f.whole::double precision, f.parts::double precision
FROM wholes AS w
FULL JOIN parts AS p USING (id, region, at)
LEFT JOIN retail.stores AS t ON t.id = coalesce(w.id, p.id)
LEFT JOIN retail.sensor_metadata AS s ON s.id = coalesce(w.id, p.id)
CROSS JOIN LATERAL (
  VALUES ('entries', w.entries, p.entries), ('exits', w.exits, p.exits), ('passersby', w.passersby, p.passersby)
) AS f (figure, whole, parts)
WHERE CASE WHEN %(of)s = 'hourly_analytics' THEN p.id IS NOT NULL ELSE w.id IS NOT NULL END
ORDER BY 1, 2, 3

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

-- name: newest_hours_of_stores
-- The newest hour that some camera counted, as the stores' figures have it, of each store with an active camera; NULL: none.
-- `created_at` is when the first of the store's active cameras was registered, the store's own instant where that is later. `counted` are the words of quality for it; an hour of which a part was estimated is as complete as it was measured.
SELECT t.id::text AS store_id, greatest(t.created_at, c.created_at) AS created_at, n.hour_start, n.updated_at
FROM retail.stores AS t
JOIN (
  SELECT s.store_id, min(s.created_at) AS created_at FROM retail.sensor_metadata AS s WHERE s.is_active GROUP BY s.store_id
) AS c ON c.store_id = t.id
LEFT JOIN LATERAL (
  SELECT f.hour_start, f.updated_at
  FROM retail.store_hourly AS f
  WHERE f.store_id = t.id AND f.hour_start <= %(now)s
    AND (f.data_completeness > 0 OR f.quality ->> 'counts' = ANY (%(counted)s))
  ORDER BY f.hour_start DESC
  LIMIT 1
) AS n ON true
ORDER BY t.id

-- name: newest_hours_of_cameras
-- The same as the cameras' figures have it.
SELECT t.id::text AS store_id, greatest(t.created_at, c.created_at) AS created_at, n.hour_start, n.updated_at
FROM retail.stores AS t
JOIN (
  SELECT s.store_id, min(s.created_at) AS created_at FROM retail.sensor_metadata AS s WHERE s.is_active GROUP BY s.store_id
) AS c ON c.store_id = t.id
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
ORDER BY t.id

-- name: newest_days_of_stores
-- The newest day of which an hour was measured, of each store with an active camera; NULL: none. `created_at` as above.
SELECT t.store_name AS store, t.timezone, greatest(t.created_at, c.created_at) AS created_at, n.date
FROM retail.stores AS t
JOIN (
  SELECT s.store_id, min(s.created_at) AS created_at FROM retail.sensor_metadata AS s WHERE s.is_active GROUP BY s.store_id
) AS c ON c.store_id = t.id
LEFT JOIN LATERAL (
  SELECT f.date
  FROM retail.store_daily AS f
  WHERE f.store_id = t.id AND f.data_completeness > 0
  ORDER BY f.date DESC
  LIMIT 1
) AS n ON true
ORDER BY t.store_name

-- name: newest_origins
-- The newest origin from which each active camera with an entrance line was predicted; NULL: none.
SELECT s.sensor_name AS camera, n.prediction_time
FROM retail.sensor_metadata AS s
LEFT JOIN LATERAL (
  SELECT p.prediction_time
  FROM retail.predictions AS p
  WHERE p.sensor_id = s.id AND p.prediction_type = 'traffic' AND p.prediction_time <= %(now)s
  ORDER BY p.prediction_time DESC
  LIMIT 1
) AS n ON true
WHERE s.is_active AND EXISTS (SELECT FROM retail.counting_lines AS l WHERE l.sensor_id = s.id AND l.role = 'entrance')
ORDER BY s.sensor_name

-- name: estimates_beside_counts
-- The people of each estimated hour of the window beside the most that its camera counted in an hour of the 26 weeks before the
-- window's end; NULL: it counted none.
WITH cameras AS (
  SELECT DISTINCT i.sensor_id
  FROM retail.imputed_hours AS i
  WHERE i.hour_start >= %(start)s AND i.hour_start < %(end)s
), counted AS (
  SELECT c.sensor_id, max(r.total_in + r.total_out) AS people
  FROM cameras AS c
  JOIN retail.people_counting_raw AS r ON r.sensor_id = c.sensor_id
  WHERE r."timestamp" >= %(end)s::timestamptz - interval '26 weeks' AND r."timestamp" < %(end)s AND r.is_final
  GROUP BY c.sensor_id
)
SELECT s.sensor_name AS camera, s.timezone, i.hour_start,
  (coalesce(i.entries, 0) + coalesce(i.exits, 0) + coalesce(i.passersby, 0))::double precision AS people,
  c.people::double precision AS most
FROM retail.imputed_hours AS i
JOIN retail.sensor_metadata AS s ON s.id = i.sensor_id
LEFT JOIN counted AS c ON c.sensor_id = i.sensor_id
WHERE i.hour_start >= %(start)s AND i.hour_start < %(end)s
ORDER BY s.sensor_name, i.hour_start

-- name: waits
-- How long customers waited and how many did, in the window's hours of which that is known, beside what the store holds.
SELECT t.store_name AS store, t.timezone, q.hour_start, q.estimated_wait_time_minutes AS minutes,
  q.predicted_queue_length AS waiting, t.capacity::double precision AS capacity
FROM retail.queue_analytics AS q
JOIN retail.stores AS t ON t.id = q.store_id
WHERE q.hour_start >= %(start)s AND q.hour_start < %(end)s
  AND num_nonnulls(q.estimated_wait_time_minutes, q.predicted_queue_length) > 0
ORDER BY t.store_name, q.hour_start

-- name: tills_of_days
-- The share of open hours in which the tills were known, of each store and date of the window with opening hours, the share of the
-- day that its cameras counted, the day's entries beside the mean of the two weeks before (NULL: not known), and whether the tills
-- were known at all in these.
SELECT t.store_name AS store, d.date::text AS date, d.data_completeness AS known, f.data_completeness AS counted,
  f.total_entries::double precision AS entries,
  (SELECT avg(b.total_entries)::double precision
    FROM retail.store_daily AS b
    WHERE b.store_id = d.store_id AND b.date >= d.date - 14 AND b.date < d.date) AS usual_entries,
  EXISTS (
    SELECT FROM retail.queue_performance_daily AS e
    WHERE e.store_id = d.store_id AND e.date >= d.date - 14 AND e.date < d.date AND e.data_completeness > 0) AS was_known
FROM retail.queue_performance_daily AS d
JOIN retail.stores AS t ON t.id = d.store_id
JOIN retail.store_daily AS f ON f.store_id = d.store_id AND f.date = d.date
WHERE d.date >= %(start)s::date AND d.date < %(end)s::date AND d.data_completeness IS NOT NULL
ORDER BY t.store_name, d.date

-- name: residuals
-- What the fit of each flow of table :of left unexplained on the window's dates.
SELECT s.sensor_name || ' region ' || f.from_region || ' to ' || f.to_region AS flow, f.date::text AS date, f.residual
FROM retail.pathway_analytics AS f
JOIN retail.sensor_metadata AS s ON s.id = f.sensor_id
WHERE %(of)s = 'pathway_analytics' AND f.date >= %(start)s::date AND f.date < %(end)s::date AND f.residual IS NOT NULL
UNION ALL
SELECT a.sensor_name || ' to ' || b.sensor_name, f.date::text, f.residual
FROM retail.camera_flow_matrix AS f
JOIN retail.sensor_metadata AS a ON a.id = f.from_camera
JOIN retail.sensor_metadata AS b ON b.id = f.to_camera
WHERE %(of)s = 'camera_flow_matrix' AND f.date >= %(start)s::date AND f.date < %(end)s::date AND f.residual IS NOT NULL
ORDER BY 1, 2

-- name: key_figures_beside_days
-- The key figures of the window that are columns of the store's day, beside them; NULL: there is none.
SELECT t.store_name AS subject, f.date::text AS at, n.figure, k.metric_value AS whole, n.value AS parts
FROM retail.store_daily AS f
JOIN retail.stores AS t ON t.id = f.store_id
CROSS JOIN LATERAL (
  VALUES ('visitors', f.total_visitors::double precision), ('entries', f.total_entries::double precision),
    ('mean_stay', f.avg_dwell_time_minutes::double precision), ('avg_occupancy', f.avg_occupancy::double precision),
    ('capture_rate', f.capture_rate_percent::double precision), ('utilization', f.utilization::double precision),
    ('data_completeness', f.data_completeness::double precision)
) AS n (figure, value)
LEFT JOIN retail.kpi_metrics AS k
  ON k.scope = 'store' AND k.scope_id = f.store_id AND k.date = f.date AND k.metric_name = n.figure
WHERE f.date >= %(start)s::date AND f.date < %(end)s::date
ORDER BY 1, 2, 3

-- name: forecasts_beside_cameras
-- The people that each origin of the window expects at a store, and those that it expects at its entrance cameras, over the hours of
-- which the store and each of these has a forecast; NULL: there is no such hour. Sums are looked at where the doors have been counted
-- for as long as each other, to a week, in the 9 weeks before: what a store expects is learnt of the doors that it had. `doors`
-- counts the entrance cameras, with forecasts or without.
WITH entrances AS (
  SELECT s.store_id, s.id, count(*) OVER (PARTITION BY s.store_id)::integer AS doors
  FROM retail.sensor_metadata AS s
  WHERE EXISTS (SELECT FROM retail.counting_lines AS l WHERE l.sensor_id = s.id AND l.role = 'entrance')
), cameras AS (
  SELECT e.store_id, e.doors, p.prediction_time, p.target_time, sum(p.predicted_value) AS people, count(p.predicted_value) AS told
  FROM retail.predictions AS p
  JOIN entrances AS e ON e.id = p.sensor_id
  WHERE p.prediction_type = 'traffic' AND p.prediction_time >= %(start)s AND p.prediction_time < %(end)s
  GROUP BY 1, 2, 3, 4
), compared AS (
  SELECT c.store_id, c.doors, c.prediction_time, count(f.target_time) > 0 AS has_forecast,
    sum(f.predicted_value) FILTER (WHERE c.told = c.doors) AS of_store,
    sum(c.people) FILTER (WHERE c.told = c.doors AND f.predicted_value IS NOT NULL) AS of_cameras
  FROM cameras AS c
  LEFT JOIN retail.store_predictions AS f
    ON f.store_id = c.store_id AND f.prediction_type = 'traffic' AND f.prediction_time = c.prediction_time
    AND f.target_time = c.target_time
  GROUP BY 1, 2, 3
)
SELECT t.store_name AS store, c.prediction_time, c.has_forecast, c.of_cameras, c.of_store, c.doors,
  c.doors = 1 OR coalesce(n.latest - n.earliest <= interval '7 days', false) AS is_alike
FROM compared AS c
JOIN retail.stores AS t ON t.id = c.store_id
CROSS JOIN LATERAL (
  SELECT max(h.first) AS latest, min(h.first) AS earliest
  FROM entrances AS e
  CROSS JOIN LATERAL (
    SELECT min(a.hour_start) AS first
    FROM retail.hourly_analytics AS a
    WHERE a.sensor_id = e.id AND a.hour_start >= c.prediction_time - interval '9 weeks' AND a.hour_start < c.prediction_time
  ) AS h
  WHERE e.store_id = c.store_id
) AS n
ORDER BY t.store_name, c.prediction_time

-- name: newest_plans
-- When the newest plan of each store with an active entrance camera was made, and the newest forecast that it could use; NULL: none.
SELECT t.store_name AS store, n.plan_time, f.prediction_time AS forecast_time
FROM retail.stores AS t
LEFT JOIN LATERAL (
  SELECT p.plan_time
  FROM retail.staffing_plan AS p
  WHERE p.store_id = t.id AND p.plan_time <= %(now)s
  ORDER BY p.plan_time DESC
  LIMIT 1
) AS n ON true
LEFT JOIN LATERAL (
  SELECT p.prediction_time
  FROM retail.store_predictions AS p
  WHERE p.store_id = t.id AND p.prediction_time <= n.plan_time
  ORDER BY p.prediction_time DESC
  LIMIT 1
) AS f ON true
WHERE EXISTS (
  SELECT FROM retail.sensor_metadata AS s
  JOIN retail.counting_lines AS l ON l.sensor_id = s.id AND l.role = 'entrance'
  WHERE s.store_id = t.id AND s.is_active)
ORDER BY t.store_name

-- name: newest_model
-- The newest model by now with the figures of its back-test; NULL: not back-tested.
SELECT m.model_version, m.trained_to, m.has_learner,
  (m.backtest #>> '{pooled,model,mase}')::double precision AS mase, (m.backtest #>> '{pooled,model,wape}')::double precision AS wape
FROM retail.prediction_model AS m
WHERE m.trained_to <= %(now)s
ORDER BY m.trained_to DESC
LIMIT 1

-- name: accuracy_of_days
-- How far the forecasts of the day before were off, by store and over all of them, on the dates of the window.
SELECT a.scope, coalesce(t.store_name, a.subject) AS store, a.date, a.wape, a.skill
FROM retail.prediction_accuracy AS a
LEFT JOIN retail.stores AS t ON t.id = a.store_id
WHERE a.date >= %(start)s::date AND a.date < %(end)s::date AND a.horizons = '7-24' AND a.scope IN ('store', 'stores_pooled') AND a.n > 0
ORDER BY 2, a.date

-- name: states_of_cameras
-- The state of each active camera as of the last look; NULL: nobody has looked.
SELECT s.sensor_name AS camera, s.timezone, h.state, h.last_seen_at, h.checked_at, h.quality ->> 'state' AS why
FROM retail.sensor_metadata AS s
LEFT JOIN retail.camera_health AS h ON h.sensor_id = s.id
WHERE s.is_active
ORDER BY s.sensor_name

-- name: open_alerts
-- Alerts that have not ended, the oldest first.
SELECT coalesce(s.sensor_name, t.store_name) AS subject, t.timezone, a.title, a.severity, a."timestamp", a.acknowledged
FROM retail.alerts_generated AS a
JOIN retail.stores AS t ON t.id = a.store_id
LEFT JOIN retail.sensor_metadata AS s ON s.id = a.sensor_id
WHERE NOT a.resolved AND a."timestamp" <= %(now)s
ORDER BY a."timestamp", 1

-- name: holidays_of_stores
-- The last known holiday of each store's country; NULL: none is known.
SELECT t.store_name AS subject, t.country, h.last
FROM retail.stores AS t
LEFT JOIN (SELECT country, max(date) AS last FROM retail.holidays GROUP BY country) AS h ON h.country = t.country
ORDER BY t.store_name

-- name: days_of_calendar
-- The last date of the retail calendar, and how many dates are missing before it; NULL: it is empty.
SELECT 'the retail calendar' AS subject, max(date) AS last, (max(date) - min(date) + 1 - count(*))::integer AS missing
FROM retail.retail_calendar
