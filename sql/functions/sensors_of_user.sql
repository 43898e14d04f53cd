-- Cameras that the user may read, or write with p_to_write: those granted, and those of stores and organizations granted.

CREATE OR REPLACE FUNCTION retail.sensors_of_user(p_to_write boolean) RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = '' AS $$
  SELECT coalesce(pg_catalog.array_agg(m.id ORDER BY m.id), '{}')
  FROM retail.sensor_metadata AS m
  JOIN retail.stores AS s ON s.id = m.store_id
  WHERE EXISTS (
    SELECT FROM retail.user_sensor_access AS a
    WHERE a.user_id = (SELECT retail.current_user_id()) AND (a.can_write OR NOT p_to_write)
      AND (a.sensor_id = m.id OR a.store_id = s.id OR a.organization_id = s.organization_id))
$$;
