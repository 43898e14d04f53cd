-- The instant at which the wall clock of a zone shows p_wall: the first of two, and after a time that the clock skips the first
-- instant behind the gap, as analytics/localtime.py decides. Postgres itself takes the second of two. NULL for a NULL.

CREATE OR REPLACE FUNCTION retail.local_instant(p_wall timestamp, p_zone text) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN (said.at - interval '1 hour') AT TIME ZONE p_zone = p_wall THEN said.at - interval '1 hour'
    WHEN (said.at - interval '30 minutes') AT TIME ZONE p_zone = p_wall THEN said.at - interval '30 minutes'
    -- Clocks go forward at a full hour.
    WHEN said.at AT TIME ZONE p_zone <> p_wall THEN said.at - (p_wall - date_trunc('hour', p_wall))
    ELSE said.at
  END
  FROM (SELECT p_wall AT TIME ZONE p_zone) AS said (at)
$$;
