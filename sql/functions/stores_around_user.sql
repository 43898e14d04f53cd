-- Stores of which the user may read anything, a single camera is enough: he sees their names, not their figures.

CREATE OR REPLACE FUNCTION retail.stores_around_user() RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(pg_catalog.array_agg(s.id), '{}')
  FROM retail.stores AS s
  WHERE EXISTS (
    SELECT FROM retail.user_sensor_access AS a
    LEFT JOIN retail.sensor_metadata AS m ON m.id = a.sensor_id
    WHERE a.user_id = (SELECT retail.current_user_id())
      AND (a.store_id = s.id OR a.organization_id = s.organization_id OR m.store_id = s.id))
$$;
