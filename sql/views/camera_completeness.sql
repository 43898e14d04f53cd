-- One camera on one local day, and how many of its hours are known; days that have ended. The hours are read by their primary key.

CREATE OR REPLACE VIEW retail.camera_completeness WITH (security_invoker = true) AS
SELECT
  d.sensor_id,
  d.date,
  m.store_id,
  m.sensor_name,
  round(extract(epoch FROM w.ends_at - w.starts_at) / 3600)::integer AS hours_of_day,
  h.hours_asked,
  h.hours_final,
  h.hours_provisional,
  h.hours_estimated,
  h.hours_asked - h.hours_final - h.hours_provisional - h.hours_estimated AS hours_missing,
  d.data_completeness
FROM retail.daily_analytics AS d
JOIN retail.sensor_metadata AS m ON m.id = d.sensor_id
JOIN retail.stores AS s ON s.id = m.store_id
CROSS JOIN LATERAL (
  SELECT retail.local_instant(d.date::timestamp, s.timezone) AS starts_at,
    retail.local_instant((d.date + 1)::timestamp, s.timezone) AS ends_at
) AS w
CROSS JOIN LATERAL (
  SELECT
    count(*)::integer AS hours_asked,
    count(*) FILTER (WHERE f.data_completeness >= 1)::integer AS hours_final,
    count(*) FILTER (WHERE f.data_completeness < 1 AND f.quality ->> 'counts' = 'provisional')::integer AS hours_provisional,
    count(*) FILTER (WHERE f.data_completeness < 1 AND f.quality ->> 'counts' IN ('estimated', 'substituted'))::integer
      AS hours_estimated
  FROM retail.hourly_analytics AS f
  WHERE f.sensor_id = d.sensor_id AND f.hour_start >= w.starts_at AND f.hour_start < w.ends_at
) AS h;
