-- Organizations of which the user may read anything: he sees their names, not their figures.

CREATE OR REPLACE FUNCTION retail.organizations_around_user() RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(pg_catalog.array_agg(DISTINCT coalesce(a.organization_id, s.organization_id)), '{}')
  FROM retail.user_sensor_access AS a
  LEFT JOIN retail.sensor_metadata AS m ON m.id = a.sensor_id
  LEFT JOIN retail.stores AS s ON s.id = coalesce(a.store_id, m.store_id)
  WHERE a.user_id = (SELECT retail.current_user_id())
$$;
