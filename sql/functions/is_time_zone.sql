-- Whether a text is an IANA zone that Postgres knows. It also takes POSIX texts such as XYZ+3, and means them the other way round:
-- those are no zones here.

CREATE OR REPLACE FUNCTION retail.is_time_zone(p_zone text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM '2000-01-01T00:00Z'::timestamptz AT TIME ZONE p_zone;
  RETURN p_zone ~ '^[A-Z][A-Za-z_]*(/[A-Za-z0-9_+-]+)*$' OR p_zone IN ('EST5EDT', 'CST6CDT', 'MST7MDT', 'PST8PDT', 'GMT0', 'GMT+0',
    'GMT-0', 'GB-Eire', 'NZ-CHAT', 'W-SU');
EXCEPTION WHEN invalid_parameter_value THEN
  RETURN false;
END
$$;
