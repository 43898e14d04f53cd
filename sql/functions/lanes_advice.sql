-- What to do about the lanes, in a sentence: how many are needed, how many are reckoned with, and whether a roster says that these
-- are the open ones. NULL where one of the numbers is.

CREATE OR REPLACE FUNCTION retail.lanes_advice(p_needed integer, p_lanes double precision, p_is_rostered boolean)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN p_needed IS NULL OR p_lanes IS NULL THEN NULL
    WHEN p_needed > p_lanes THEN 'Open more lanes: ' || ceil(p_needed - p_lanes) || '.'
    WHEN p_is_rostered AND floor(p_lanes - p_needed) >= 1 THEN 'Lanes that can close: ' || floor(p_lanes - p_needed) || '.'
    ELSE 'Lanes that are needed: ' || p_needed || '.'
  END
$$;
