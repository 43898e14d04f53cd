-- Whether opening hours are spans such as ["10:00", "21:00"] by weekday (mon to sun) that do not overlap. A span that ends at or
-- before its start runs past midnight.

CREATE OR REPLACE FUNCTION retail.opening_hours_are_sound(p_opening_hours jsonb) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_weekdays CONSTANT text[] := ARRAY['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];
  v_week CONSTANT integer := 7 * 24 * 60;
  v_day text;
  v_spans jsonb;
  v_span jsonb;
  v_from integer;
  v_length integer;
  v_from_all integer[] := '{}';
  v_length_all integer[] := '{}';
BEGIN
  IF jsonb_typeof(p_opening_hours) <> 'object' THEN
    RETURN false;
  END IF;
  FOR v_day, v_spans IN SELECT d.key, d.value FROM jsonb_each(p_opening_hours) AS d LOOP
    IF array_position(v_weekdays, v_day) IS NULL OR jsonb_typeof(v_spans) NOT IN ('array', 'null') THEN
      RETURN false;
    END IF;
    CONTINUE WHEN jsonb_typeof(v_spans) = 'null';
    FOR v_span IN SELECT s.value FROM jsonb_array_elements(v_spans) AS s LOOP
      IF jsonb_typeof(v_span) <> 'array' OR jsonb_array_length(v_span) <> 2
        OR NOT ((v_span ->> 0) ~ '^(([01]?\d|2[0-3]):[0-5]\d|24:00)$' AND (v_span ->> 1) ~ '^(([01]?\d|2[0-3]):[0-5]\d|24:00)$')
      THEN
        RETURN false;
      END IF;
      v_from := split_part(v_span ->> 0, ':', 1)::integer * 60 + split_part(v_span ->> 0, ':', 2)::integer;
      v_length := split_part(v_span ->> 1, ':', 1)::integer * 60 + split_part(v_span ->> 1, ':', 2)::integer - v_from;
      v_from_all := v_from_all || (v_from + (array_position(v_weekdays, v_day) - 1) * 24 * 60) % v_week;
      v_length_all := v_length_all || CASE WHEN v_length > 0 THEN v_length ELSE v_length + 24 * 60 END;
    END LOOP;
  END LOOP;
  -- On the circle of the week a span holds another one's start unless it ends before it.
  RETURN NOT EXISTS (
    SELECT FROM unnest(v_from_all, v_length_all) WITH ORDINALITY AS one (starts, minutes, place)
    JOIN unnest(v_from_all) WITH ORDINALITY AS other (starts, place) ON other.place <> one.place
    WHERE (other.starts - one.starts + v_week) % v_week < one.minutes);
END
$$;
