-- Whether the hour that starts at a wall-clock time overlaps opening hours, as analytics/opening.py has them: NULL is always, and a
-- span that ends at or before its start runs past midnight.

CREATE OR REPLACE FUNCTION retail.raise_alerts_is_open(p_opening_hours jsonb, p_wall timestamp) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_opening_hours IS NULL OR EXISTS (
    SELECT
    FROM jsonb_each(CASE jsonb_typeof(p_opening_hours) WHEN 'object' THEN p_opening_hours ELSE '{}' END) AS d (weekday, spans)
    CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(d.spans) WHEN 'array' THEN d.spans ELSE '[]' END) AS s (span)
    CROSS JOIN LATERAL (
      SELECT split_part(s.span ->> 0, ':', 1)::integer * 60 + split_part(s.span ->> 0, ':', 2)::integer,
        split_part(s.span ->> 1, ':', 1)::integer * 60 + split_part(s.span ->> 1, ':', 2)::integer
    ) AS m (starts, ends)
    CROSS JOIN LATERAL (
      -- Minutes of the week, on whose circle each of two spans holds the other one's start or they do not meet.
      SELECT (array_position(ARRAY['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'], d.weekday) - 1) * 1440 + m.starts,
        CASE WHEN m.ends > m.starts THEN m.ends - m.starts ELSE m.ends - m.starts + 1440 END,
        (extract(isodow FROM p_wall)::integer - 1) * 1440 + extract(hour FROM p_wall)::integer * 60
          + extract(minute FROM p_wall)::integer
    ) AS w (opens, minutes, hour_start)
    WHERE (w.opens - w.hour_start + 10080) % 10080 < 60 OR (w.hour_start - w.opens + 10080) % 10080 < w.minutes)
$$;
