-- Probability that a customer waits, by Erlang C (analytics/queueing.py): p_load customers in service on average, p_lanes lanes,
-- which may be a mean over the hour such as 2.5. NULL unless 0 <= p_load < p_lanes, where there is no stationary wait, and over a
-- million lanes.

CREATE OR REPLACE FUNCTION retail.erlang_c(p_load double precision, p_lanes double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_rest double precision := p_lanes - floor(p_lanes);
  v_blocked double precision := 1;
  v_term double precision;
  v_sum double precision;
  v_c double precision;
  v_d double precision;
  v_h double precision;
BEGIN
  -- A load that equals the lanes in decimals falls short of them in binary, and would wait for ever.
  IF NOT (p_load >= 0 AND p_load < (1 - 1e-9) * p_lanes AND p_lanes <= 1e6) THEN
    RETURN NULL;
  ELSIF p_load < 1e-100 THEN
    RETURN 0;
  END IF;
  IF v_rest > 0 THEN
    -- All lanes busy with the fraction of a lane alone: a^f exp(-a) / Gamma(f + 1, a), whose upper incomplete gamma function is
    -- 1 less its series where the load is small, else a continued fraction.
    IF p_load < v_rest + 2 THEN
      v_term := 1 / (v_rest + 1);
      v_sum := v_term;
      FOR n IN 1 .. 500 LOOP
        v_term := v_term * p_load / (v_rest + 1 + n);
        v_sum := v_sum + v_term;
        EXIT WHEN v_term < v_sum * 1e-17;
      END LOOP;
      v_blocked := 1 / (exp(retail.log_gamma(v_rest + 1) + p_load - v_rest * ln(p_load)) - p_load * v_sum);
    ELSE
      v_sum := p_load - v_rest;
      v_c := 1e300;
      v_d := 1 / v_sum;
      v_h := v_d;
      FOR n IN 1 .. 500 LOOP
        v_term := -n * (n - v_rest - 1);
        v_sum := v_sum + 2;
        v_d := 1 / (v_term * v_d + v_sum);
        v_c := v_sum + v_term / v_c;
        v_h := v_h * v_d * v_c;
        EXIT WHEN abs(v_d * v_c - 1) < 1e-15;
      END LOOP;
      v_blocked := 1 / (p_load * v_h);
    END IF;
  END IF;
  FOR n IN 1 .. floor(p_lanes)::integer LOOP
    v_blocked := p_load * v_blocked / (v_rest + n + p_load * v_blocked);
    -- A number that is too small for its kind is an error to Postgres: so many lanes for so few people, nobody waits.
    IF v_blocked < 1e-200 THEN
      RETURN 0;
    END IF;
  END LOOP;
  RETURN least(v_blocked / (1 - p_load / p_lanes * (1 - v_blocked)), 1);
END
$$;
