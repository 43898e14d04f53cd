-- Natural logarithm of the gamma function for p_x > 0, to 13 digits (Lanczos' approximation, g = 7, 9 terms); else NULL.
-- Postgres has one of its own from version 18 on.

CREATE OR REPLACE FUNCTION retail.log_gamma(p_x double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN p_x > 0 AND p_x < 'Infinity' THEN 0.5 * ln(2 * pi()) + (p_x - 0.5) * ln(p_x + 6.5) - (p_x + 6.5) + ln(
    0.99999999999980993
    + 676.5203681218851 / p_x
    - 1259.1392167224028 / (p_x + 1)
    + 771.32342877765313 / (p_x + 2)
    - 176.61502916214059 / (p_x + 3)
    + 12.507343278686905 / (p_x + 4)
    - 0.13857109526572012 / (p_x + 5)
    + 9.9843695780195716e-6 / (p_x + 6)
    + 1.5056327351493116e-7 / (p_x + 7)) END
$$;
