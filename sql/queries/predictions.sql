-- Statements on forecasts: the counts that they are made from, the model of an origin, and what was counted later.
-- `measured` is an hour in which every camera of the scope gave final counts: estimates teach nothing and judge nothing.

-- name: entries_of_sensors
-- Measured entries of the cameras :ids, by their place in that list, in the window.
SELECT w.place - 1 AS place, extract(epoch FROM h.hour_start)::bigint AS second, h.total_entries AS value
FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS w (id, place)
JOIN retail.hourly_analytics AS h ON h.sensor_id = w.id
WHERE h.hour_start >= %(start)s::timestamptz AND h.hour_start < %(end)s::timestamptz
  AND h.quality ->> 'counts' = 'measured' AND h.total_entries IS NOT NULL

-- name: entries_of_stores
-- Measured entries of the stores :ids, by their place in that list, in the window.
SELECT w.place - 1 AS place, extract(epoch FROM h.hour_start)::bigint AS second, h.total_entries AS value
FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS w (id, place)
JOIN retail.store_hourly AS h ON h.store_id = w.id
WHERE h.hour_start >= %(start)s::timestamptz AND h.hour_start < %(end)s::timestamptz
  AND h.quality ->> 'counts' = 'measured' AND h.total_entries IS NOT NULL

-- name: model_at
-- The newest model that looked at nothing after :origin.
SELECT model_version, model
FROM retail.prediction_model
WHERE trained_to <= %(origin)s::timestamptz
ORDER BY trained_to DESC, trained_at DESC
LIMIT 1

-- name: fill_actuals_of_sensors
-- Writes what was counted beside the forecasts for the local days from :first to before :end that had ended at :now, and NULL
-- where an hour is no longer measured; only where it differs.
UPDATE retail.predictions AS p
SET actual_value = CASE WHEN h.quality ->> 'counts' = 'measured' THEN h.total_entries END, updated_at = now()
FROM retail.hourly_analytics AS h
JOIN retail.sensor_metadata AS s ON s.id = h.sensor_id
JOIN retail.stores AS t ON t.id = s.store_id
WHERE p.sensor_id = h.sensor_id AND p.target_time = h.hour_start
  AND h.hour_start >= %(first)s::date - interval '1 day' AND h.hour_start < %(end)s::date + interval '1 day'
  AND p.target_time >= %(first)s::date - interval '1 day' AND p.target_time < %(end)s::date + interval '1 day'
  AND p.prediction_time >= %(first)s::date - interval '9 days' AND p.prediction_time < %(end)s::date + interval '2 days'
  AND (h.hour_start AT TIME ZONE t.timezone)::date >= %(first)s::date
  AND (h.hour_start AT TIME ZONE t.timezone)::date < %(end)s::date
  AND ((h.hour_start AT TIME ZONE t.timezone)::date + 1)::timestamp AT TIME ZONE t.timezone <= %(now)s::timestamptz
  AND p.actual_value IS DISTINCT FROM CASE WHEN h.quality ->> 'counts' = 'measured' THEN h.total_entries::double precision END

-- name: fill_actuals_of_stores
-- The same for stores.
UPDATE retail.store_predictions AS p
SET actual_value = CASE WHEN h.quality ->> 'counts' = 'measured' THEN h.total_entries END, updated_at = now()
FROM retail.store_hourly AS h
JOIN retail.stores AS t ON t.id = h.store_id
WHERE p.store_id = h.store_id AND p.target_time = h.hour_start
  AND h.hour_start >= %(first)s::date - interval '1 day' AND h.hour_start < %(end)s::date + interval '1 day'
  AND p.target_time >= %(first)s::date - interval '1 day' AND p.target_time < %(end)s::date + interval '1 day'
  AND p.prediction_time >= %(first)s::date - interval '9 days' AND p.prediction_time < %(end)s::date + interval '2 days'
  AND (h.hour_start AT TIME ZONE t.timezone)::date >= %(first)s::date
  AND (h.hour_start AT TIME ZONE t.timezone)::date < %(end)s::date
  AND ((h.hour_start AT TIME ZONE t.timezone)::date + 1)::timestamp AT TIME ZONE t.timezone <= %(now)s::timestamptz
  AND p.actual_value IS DISTINCT FROM CASE WHEN h.quality ->> 'counts' = 'measured' THEN h.total_entries::double precision END

-- name: judged_sensors
-- Forecasts for the hours of the local day :day, where it had ended at :now, beside what was counted, and what had been at the
-- same hour of the local week before.
SELECT p.sensor_id AS subject, p.time_horizon_minutes / 60 AS horizon_hours, p.predicted_value,
  p.confidence_interval_lower AS lower_80, p.confidence_interval_upper AS upper_80, p.lower_95, p.upper_95, p.actual_value,
  b.total_entries AS same_hour_last_week
FROM retail.predictions AS p
JOIN retail.sensor_metadata AS s ON s.id = p.sensor_id
JOIN retail.stores AS t ON t.id = s.store_id
LEFT JOIN retail.hourly_analytics AS b
  ON b.sensor_id = p.sensor_id AND b.quality ->> 'counts' = 'measured'
  AND b.hour_start = (p.target_time AT TIME ZONE t.timezone - interval '7 days') AT TIME ZONE t.timezone
WHERE p.target_time >= %(day)s::date - interval '1 day' AND p.target_time < %(day)s::date + interval '2 days'
  AND p.prediction_time >= %(day)s::date - interval '9 days' AND p.prediction_time < %(day)s::date + interval '3 days'
  AND (p.target_time AT TIME ZONE t.timezone)::date = %(day)s::date
  AND (%(day)s::date + 1)::timestamp AT TIME ZONE t.timezone <= %(now)s::timestamptz

-- name: judged_stores
-- The same for stores.
SELECT p.store_id AS subject, p.time_horizon_minutes / 60 AS horizon_hours, p.predicted_value,
  p.confidence_interval_lower AS lower_80, p.confidence_interval_upper AS upper_80, p.lower_95, p.upper_95, p.actual_value,
  b.total_entries AS same_hour_last_week
FROM retail.store_predictions AS p
JOIN retail.stores AS t ON t.id = p.store_id
LEFT JOIN retail.store_hourly AS b
  ON b.store_id = p.store_id AND b.quality ->> 'counts' = 'measured'
  AND b.hour_start = (p.target_time AT TIME ZONE t.timezone - interval '7 days') AT TIME ZONE t.timezone
WHERE p.target_time >= %(day)s::date - interval '1 day' AND p.target_time < %(day)s::date + interval '2 days'
  AND p.prediction_time >= %(day)s::date - interval '9 days' AND p.prediction_time < %(day)s::date + interval '3 days'
  AND (p.target_time AT TIME ZONE t.timezone)::date = %(day)s::date
  AND (%(day)s::date + 1)::timestamp AT TIME ZONE t.timezone <= %(now)s::timestamptz

-- name: forecasts_for_plan
-- The newest forecast of each store's coming hours, made at :plan_time or in the 24 hours before.
SELECT DISTINCT ON (store_id, target_time) store_id, extract(epoch FROM prediction_time)::bigint AS prediction_second,
  extract(epoch FROM target_time)::bigint AS target_second, predicted_value, confidence_interval_lower AS lower_80,
  confidence_interval_upper AS upper_80
FROM retail.store_predictions
WHERE prediction_time <= %(plan_time)s::timestamptz
  AND prediction_time > %(plan_time)s::timestamptz - interval '24 hours'
  AND target_time > %(plan_time)s::timestamptz - interval '1 hour'
ORDER BY store_id, target_time, prediction_time DESC
