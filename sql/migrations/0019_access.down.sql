-- The roles stay: they belong to the server, and another database on it may use them.
DO $$
DECLARE
  v_table record;
  v_role  text;
BEGIN
  FOR v_table IN SELECT p.polname, p.polrelid::regclass AS name FROM pg_policy AS p
                 JOIN pg_class AS c ON c.oid = p.polrelid WHERE c.relnamespace = 'retail'::regnamespace LOOP
    EXECUTE format('DROP POLICY %I ON %s', v_table.polname, v_table.name);
  END LOOP;
  FOR v_table IN SELECT c.oid::regclass AS name FROM pg_class AS c
                 WHERE c.relnamespace = 'retail'::regnamespace AND c.relrowsecurity LOOP
    EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', v_table.name);
  END LOOP;
  FOR v_role IN SELECT rolname FROM pg_roles
                WHERE rolname IN ('retail_ingest', 'retail_transform', 'retail_reader', 'retail_writer') LOOP
    EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA retail FROM %I', v_role);
    EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA retail FROM %I', v_role);
    EXECUTE format('REVOKE ALL ON SCHEMA retail FROM %I', v_role);
    EXECUTE format('REVOKE ALL ON TABLE public.retail_alembic_version FROM %I', v_role);
  END LOOP;
END
$$;
ALTER FUNCTION retail.ensure_month_partitions(text, timestamptz, timestamptz) SECURITY INVOKER;
GRANT EXECUTE ON FUNCTION retail.ensure_month_partitions(text, timestamptz, timestamptz) TO PUBLIC;
DROP FUNCTION retail.guard_tables();
DROP TABLE retail.user_sensor_access;
DROP FUNCTION retail.organizations_around_user();
DROP FUNCTION retail.stores_around_user();
DROP FUNCTION retail.sensors_of_user(boolean);
DROP FUNCTION retail.stores_of_user(boolean);
DROP FUNCTION retail.organizations_of_user(boolean);
DROP FUNCTION retail.current_user_id();
