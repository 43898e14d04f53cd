-- Who asks: the user whose rows in retail.user_sensor_access decide what is seen. NULL: nobody, and nobody sees nothing.
-- A login is its own user, whatever it says. Only a login that speaks for others (a member of retail_gateway, such as the one of
-- PostgREST or of an application, or of the schema's owner) is believed: request.jwt.claims as Supabase and PostgREST set it, else
-- app.user_id. The session's user counts, which SET ROLE does not change.

CREATE OR REPLACE FUNCTION retail.current_user_id() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN EXISTS (
      SELECT FROM pg_catalog.pg_roles AS r
      WHERE (r.rolname = 'retail_gateway'
          OR r.oid = (SELECT n.nspowner FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'retail'))
        AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER'))
    THEN coalesce(
      nullif(nullif(pg_catalog.current_setting('request.jwt.claims', true), '')::pg_catalog.jsonb ->> 'sub', ''),
      nullif(pg_catalog.current_setting('app.user_id', true), ''))
    ELSE session_user::pg_catalog.text
  END
$$;
