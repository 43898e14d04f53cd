-- How surprising a count is: twice the smaller of both tails of a negative binomial that contain p_count, at most 1
-- (two_sided of analytics/tails.py). Its mean is p_mean, its variance p_mean + p_mean^2 / p_k. NULL for a NULL,
-- and unless p_count is 0 or more, p_mean and p_k are over 0.

CREATE OR REPLACE FUNCTION retail.count_surprise(p_count double precision, p_mean double precision, p_k double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  -- least() alone leaves NULL out.
  SELECT CASE WHEN p_count >= 0 AND p_count < 'Infinity' AND p_mean > 0 AND p_mean < 'Infinity' AND p_k > 0 AND p_k < 'Infinity'
    THEN least(1, 2 * least(
    retail.incomplete_beta(p_k, p_count + 1, p_k / (p_k + p_mean)),
    CASE WHEN p_count > 0 THEN retail.incomplete_beta(p_count, p_k, p_mean / (p_k + p_mean)) ELSE 1 END)) END
$$;
