-- Stores that the user may read whole, or write with p_to_write: those granted, and those of organizations granted.

CREATE OR REPLACE FUNCTION retail.stores_of_user(p_to_write boolean) RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(pg_catalog.array_agg(s.id), '{}')
  FROM retail.stores AS s
  WHERE EXISTS (
    SELECT FROM retail.user_sensor_access AS a
    WHERE a.user_id = (SELECT retail.current_user_id()) AND (a.can_write OR NOT p_to_write)
      AND (a.store_id = s.id OR a.organization_id = s.organization_id))
$$;
