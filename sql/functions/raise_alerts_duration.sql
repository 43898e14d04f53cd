-- A time in words: minutes up to an hour and a half, then hours, then days (`duration` of analytics/alert_texts.py).

CREATE OR REPLACE FUNCTION retail.raise_alerts_duration(p_minutes double precision) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.count || ' ' || u.name || CASE c.count WHEN '1' THEN '' ELSE 's' END
  FROM (SELECT CASE WHEN p_minutes < 90 THEN 'minute' WHEN p_minutes < 2880 THEN 'hour' ELSE 'day' END) AS u (name)
  CROSS JOIN LATERAL (
    SELECT CASE u.name WHEN 'minute' THEN round(p_minutes)::text
      WHEN 'hour' THEN regexp_replace(to_char(p_minutes / 60, 'FM999999999990.0'), '\.0$', '')
      ELSE regexp_replace(to_char(p_minutes / 1440, 'FM999999999990.0'), '\.0$', '') END
  ) AS c (count)
$$;
