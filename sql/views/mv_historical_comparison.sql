-- One active camera on each of the last 30 local days and today, beside the days before. A day that was not counted stays NULL: means
-- leave it out, and a trend is of the days that are there. A plain view: it reads 44 rows of each camera by their primary key.

CREATE OR REPLACE VIEW retail.mv_historical_comparison WITH (security_invoker = true) AS
SELECT
  c.sensor_id, c.sensor_name, c.store_id, c.date, c.visitors, c.conversion_rate, c.dwell_time,
  c.visitors_7d_avg, c.conversion_7d_avg, c.dwell_7d_avg, c.days_in_7d_avg, c.visitors_prev_week,
  CASE WHEN c.data_completeness >= 0.9 AND c.completeness_prev_week >= 0.9 THEN
    (100 * (c.visitors - c.visitors_prev_week) / nullif(c.visitors_prev_week, 0))::double precision END AS wow_change_percent,
  CASE
    WHEN c.visitors_7d_avg > 1.1 * c.visitors_7d_before THEN 'up'
    WHEN c.visitors_7d_avg < 0.9 * c.visitors_7d_before THEN 'down'
    WHEN c.visitors_7d_avg IS NOT NULL AND c.visitors_7d_before IS NOT NULL THEN 'stable'
  END AS trend
FROM (
  SELECT
    m.id AS sensor_id, m.sensor_name, m.store_id, day.date, today.date AS today,
    d.total_visitors AS visitors,
    d.overall_conversion_rate AS conversion_rate,
    d.avg_dwell_time_minutes AS dwell_time,
    (avg(d.total_visitors) OVER week)::double precision AS visitors_7d_avg,
    avg(d.overall_conversion_rate) OVER week AS conversion_7d_avg,
    avg(d.avg_dwell_time_minutes) OVER week AS dwell_7d_avg,
    (count(d.total_visitors) OVER week)::integer AS days_in_7d_avg,
    d.data_completeness,
    lag(d.total_visitors, 7) OVER days AS visitors_prev_week,
    lag(d.data_completeness, 7) OVER days AS completeness_prev_week,
    (avg(d.total_visitors) OVER (days ROWS BETWEEN 13 PRECEDING AND 7 PRECEDING))::double precision AS visitors_7d_before
  FROM retail.sensor_metadata AS m
  JOIN retail.stores AS s ON s.id = m.store_id
  CROSS JOIN LATERAL (SELECT (now() AT TIME ZONE s.timezone)::date AS date) AS today
  CROSS JOIN generate_series(0, 43) AS back (days)
  CROSS JOIN LATERAL (SELECT today.date - back.days AS date) AS day
  LEFT JOIN retail.daily_analytics AS d ON d.sensor_id = m.id AND d.date = day.date
  WHERE m.is_active
  -- The store among the keys: a question about one store then reads only its cameras.
  WINDOW days AS (PARTITION BY m.id, m.store_id ORDER BY day.date), week AS (days ROWS BETWEEN 6 PRECEDING AND CURRENT ROW)
) AS c
WHERE c.date >= c.today - 30;
