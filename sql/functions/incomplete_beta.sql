-- The regularised incomplete beta function I(p_x; p_a, p_b) for p_a, p_b > 0 and p_x from 0 to 1, else NULL: what the tails of a
-- negative binomial are made of (analytics/tails.py). Continued fraction 26.5.8 of Abramowitz and Stegun, by Lentz' method.

CREATE OR REPLACE FUNCTION retail.incomplete_beta(p_a double precision, p_b double precision, p_x double precision)
RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- The fraction closes in fast only below the mean; above it the other tail is asked.
  v_is_other boolean := p_x > (p_a + 1) / (p_a + p_b + 2);
  v_a double precision := CASE WHEN v_is_other THEN p_b ELSE p_a END;
  v_b double precision := CASE WHEN v_is_other THEN p_a ELSE p_b END;
  v_x double precision := CASE WHEN v_is_other THEN 1 - p_x ELSE p_x END;
  v_tiny CONSTANT double precision := 1e-300;
  v_exponent double precision;
  v_term double precision;
  v_c double precision := 1;
  v_d double precision;
  v_step double precision;
  v_result double precision;
BEGIN
  IF NOT (p_x BETWEEN 0 AND 1 AND p_a > 0 AND p_a < 'Infinity' AND p_b > 0 AND p_b < 'Infinity') THEN
    RETURN NULL;
  ELSIF p_x IN (0, 1) THEN
    RETURN p_x;
  END IF;
  v_exponent := v_a * ln(v_x) + v_b * ln(1 - v_x)
    + retail.log_gamma(v_a + v_b) - retail.log_gamma(v_a) - retail.log_gamma(v_b);
  IF v_exponent < -700 THEN
    RETURN CASE WHEN v_is_other THEN 1 ELSE 0 END;
  END IF;
  v_d := 1 - (v_a + v_b) * v_x / (v_a + 1);
  v_d := 1 / CASE WHEN abs(v_d) < v_tiny THEN v_tiny ELSE v_d END;
  v_result := v_d;
  FOR m IN 1 .. 1000 LOOP
    v_term := m * (v_b - m) * v_x / ((v_a + 2 * m - 1) * (v_a + 2 * m));
    v_d := 1 + v_term * v_d;
    v_d := 1 / CASE WHEN abs(v_d) < v_tiny THEN v_tiny ELSE v_d END;
    v_c := 1 + v_term / v_c;
    v_c := CASE WHEN abs(v_c) < v_tiny THEN v_tiny ELSE v_c END;
    v_result := v_result * v_d * v_c;
    v_term := -(v_a + m) * (v_a + v_b + m) * v_x / ((v_a + 2 * m) * (v_a + 2 * m + 1));
    v_d := 1 + v_term * v_d;
    v_d := 1 / CASE WHEN abs(v_d) < v_tiny THEN v_tiny ELSE v_d END;
    v_c := 1 + v_term / v_c;
    v_c := CASE WHEN abs(v_c) < v_tiny THEN v_tiny ELSE v_c END;
    v_step := v_d * v_c;
    v_result := v_result * v_step;
    EXIT WHEN abs(v_step - 1) < 1e-14;
  END LOOP;
  v_result := exp(v_exponent) * v_result / v_a;
  RETURN CASE WHEN v_is_other THEN 1 - v_result ELSE v_result END;
END
$$;
