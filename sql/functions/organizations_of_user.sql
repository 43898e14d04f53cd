-- Organizations that the user may read whole, or write with p_to_write. Asked by policies, with its owner's rights: a policy that
-- asked the table itself would ask itself.

CREATE OR REPLACE FUNCTION retail.organizations_of_user(p_to_write boolean) RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(pg_catalog.array_agg(a.organization_id), '{}')
  FROM retail.user_sensor_access AS a
  WHERE a.user_id = (SELECT retail.current_user_id()) AND a.organization_id IS NOT NULL AND (a.can_write OR NOT p_to_write)
$$;
