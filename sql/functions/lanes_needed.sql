-- Fewest lanes, at least 1, with which p_share of the customers waits at most p_minutes, at an offered load and a rate of customers
-- a minute and lane (analytics/queueing.py). NULL for a NULL.

CREATE OR REPLACE FUNCTION retail.lanes_needed(
  p_load double precision, p_rate double precision, p_minutes double precision, p_share double precision)
RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = '' AS $$
DECLARE
  v_lanes integer := greatest(floor(p_load), 1);
  v_wait double precision;
BEGIN
  LOOP
    v_wait := retail.erlang_c(p_load, v_lanes);
    EXIT WHEN 1 - v_wait * exp(-p_rate * (v_lanes - p_load) * p_minutes) >= p_share;
    v_lanes := v_lanes + 1;
  END LOOP;
  RETURN v_lanes;
END
$$;
