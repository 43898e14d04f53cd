-- Whether the user may read more than half of the stores whole, judged by fifteen of them, whose identities are random. Marked
-- IMMUTABLE, which it is not: so the planner asks it, and a policy's CASE is one of its two conditions before an index is chosen. That is
-- safe only where both conditions hold for the same rows, whoever asks: a plan that is kept and used for another user is slower then,
-- and shows no other rows.

CREATE OR REPLACE FUNCTION retail.is_user_of_most_stores() RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_user          CONSTANT pg_catalog.text := retail.current_user_id();
  v_organizations pg_catalog.uuid[];
  v_stores        pg_catalog.uuid[];
BEGIN
  -- In plpgsql, which keeps its plans: it is called for each table of a query.
  SELECT pg_catalog.array_agg(a.organization_id), pg_catalog.array_agg(a.store_id) INTO v_organizations, v_stores
  FROM retail.user_sensor_access AS a
  WHERE a.user_id = v_user AND a.sensor_id IS NULL;
  IF v_stores IS NULL THEN
    RETURN false;
  END IF;
  RETURN (
    SELECT 2 * pg_catalog.count(*) FILTER (WHERE s.organization_id = ANY (v_organizations) OR s.id = ANY (v_stores)) > pg_catalog.count(*)
    FROM (SELECT o.id, o.organization_id FROM retail.stores AS o ORDER BY o.id LIMIT 15) AS s);
END
$$;
