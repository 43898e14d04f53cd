-- The instant at which the wall clock of a zone shows p_wall: the first of two, and after a time that the clock skips the first
-- instant behind the gap, as analytics/localtime.py decides. Postgres itself takes the second of two. NULL for a NULL.

CREATE OR REPLACE FUNCTION retail.local_instant(p_wall timestamp, p_zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_said timestamptz := p_wall AT TIME ZONE p_zone;
BEGIN
  -- In plpgsql, which costs views a quarter of what a query in SQL does for each of their days.
  RETURN CASE
    WHEN (v_said - interval '1 hour') AT TIME ZONE p_zone = p_wall THEN v_said - interval '1 hour'
    WHEN (v_said - interval '30 minutes') AT TIME ZONE p_zone = p_wall THEN v_said - interval '30 minutes'
    -- Clocks go forward at a full hour.
    WHEN v_said AT TIME ZONE p_zone <> p_wall THEN v_said - (p_wall - date_trunc('hour', p_wall))
    ELSE v_said
  END;
END
$$;
