-- One camera in one hour, day, week or month, over hourly_analytics and daily_analytics. Each period is a branch of its own, so that
-- a question about one of them, one camera and a span of time reads only these rows by their primary key.

CREATE OR REPLACE VIEW retail.historical_analytics WITH (security_invoker = true) AS
SELECT
  m.id AS camera_id,
  m.store_id,
  'hour'::text AS time_period,
  h.hour_start AS period_start,
  (h.hour_start AT TIME ZONE s.timezone)::date AS data_date,
  h.total_entries AS total_count_in,
  h.total_exits AS total_count_out,
  h.total_entries + h.total_exits AS total_count,
  h.visitors,
  h.visitors AS peak_count,
  CASE WHEN h.visitors IS NOT NULL THEN extract(hour FROM h.hour_start AT TIME ZONE s.timezone)::integer END AS peak_hour,
  h.visitors::double precision AS average_count,
  h.avg_occupancy AS average_occupancy,
  100 * h.utilization AS average_occupancy_percent,
  NULL::jsonb AS hourly_distribution,
  NULL::jsonb AS daily_distribution,
  (h.visitors IS NOT NULL)::integer AS periods_counted,
  h.data_completeness,
  h.is_provisional
FROM retail.hourly_analytics AS h
JOIN retail.sensor_metadata AS m ON m.id = h.sensor_id
JOIN retail.stores AS s ON s.id = m.store_id
UNION ALL
SELECT
  m.id, m.store_id, 'day', retail.local_instant(d.date::timestamp, s.timezone), d.date,
  d.total_entries, d.total_exits, d.total_entries + d.total_exits, d.total_visitors,
  d.peak_hour_traffic, extract(hour FROM d.peak_hour)::integer,
  d.total_visitors::double precision * 3600
    / extract(epoch FROM retail.local_instant((d.date + 1)::timestamp, s.timezone)
      - retail.local_instant(d.date::timestamp, s.timezone))::double precision,
  d.avg_occupancy, 100 * d.utilization,
  d.hourly_distribution, NULL, (d.total_visitors IS NOT NULL)::integer, d.data_completeness, d.is_provisional
FROM retail.daily_analytics AS d
JOIN retail.sensor_metadata AS m ON m.id = d.sensor_id
JOIN retail.stores AS s ON s.id = m.store_id
UNION ALL
SELECT
  w.sensor_id, m.store_id, w.time_period, retail.local_instant(w.first_day::timestamp, s.timezone), w.first_day,
  w.entries, w.exits, w.crossings, w.visitors, w.peak_count, w.peak_hour, w.average_count, w.avg_occupancy, 100 * w.utilization,
  NULL, w.daily_distribution, w.days_counted,
  w.completeness / (w.next_first_day - w.first_day),
  -- Days of it are to come, or it is their last one that has not come in.
  w.is_provisional OR w.last_day < w.next_first_day - 1 AND (now() AT TIME ZONE s.timezone)::date <= w.next_first_day
FROM (
  SELECT
    d.sensor_id, p.time_period, p.first_day, p.next_first_day,
    sum(d.total_entries) AS entries,
    sum(d.total_exits) AS exits,
    sum(d.total_entries + d.total_exits) AS crossings,
    sum(d.total_visitors) AS visitors,
    max(d.peak_hour_traffic) AS peak_count,
    (array_agg(extract(hour FROM d.peak_hour)::integer ORDER BY d.peak_hour_traffic DESC NULLS LAST, d.date))[1] AS peak_hour,
    avg(d.total_visitors)::double precision AS average_count,
    avg(d.avg_occupancy) AS avg_occupancy,
    avg(d.utilization) AS utilization,
    jsonb_object_agg(CASE p.time_period WHEN 'week' THEN
      (ARRAY['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'])[extract(isodow FROM d.date)::integer]
      ELSE to_char(d.date, 'YYYY-MM-DD') END, d.total_visitors) AS daily_distribution,
    count(d.total_visitors)::integer AS days_counted,
    sum(d.data_completeness) AS completeness,
    bool_or(d.is_provisional) AS is_provisional,
    max(d.date) AS last_day
  FROM retail.daily_analytics AS d
  CROSS JOIN LATERAL (
    SELECT 'week', date_trunc('week', d.date::timestamp)::date, (date_trunc('week', d.date::timestamp) + interval '1 week')::date
    UNION ALL
    SELECT 'month', date_trunc('month', d.date::timestamp)::date, (date_trunc('month', d.date::timestamp) + interval '1 month')::date
  ) AS p (time_period, first_day, next_first_day)
  GROUP BY d.sensor_id, p.time_period, p.first_day, p.next_first_day
) AS w
JOIN retail.sensor_metadata AS m ON m.id = w.sensor_id
JOIN retail.stores AS s ON s.id = m.store_id;
