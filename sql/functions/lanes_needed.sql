-- Fewest lanes, at least 1, with which p_share of the customers waits at most p_minutes, at an offered load and a rate of customers
-- a minute and lane (analytics/queueing.py). NULL for a NULL, and where no number of lanes is known to do: unless p_load and
-- p_minutes are 0 or more, p_rate is over 0, p_share under 1, and p_load at most 10 000.

CREATE OR REPLACE FUNCTION retail.lanes_needed(
  p_load double precision, p_rate double precision, p_minutes double precision, p_share double precision)
RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_lanes integer;
  v_wait double precision;
BEGIN
  -- NaN is greater than every number: only an upper bound refuses it.
  IF NOT (p_load BETWEEN 0 AND 1e4 AND p_rate > 0 AND p_rate < 'Infinity' AND p_minutes >= 0 AND p_minutes < 'Infinity'
      AND p_share < 1) THEN
    RETURN NULL;
  END IF;
  v_lanes := greatest(floor(p_load), 1);
  LOOP
    v_wait := retail.erlang_c(p_load, v_lanes);
    -- A product too small for its kind is an error to Postgres: exp(-200) is nothing beside 1, and v_wait 0 or over 1e-200.
    EXIT WHEN 1 - v_wait * exp(greatest(-p_rate * (v_lanes - p_load) * p_minutes, -200)) >= p_share;
    v_lanes := v_lanes + 1;
  END LOOP;
  RETURN v_lanes;
END
$$;
