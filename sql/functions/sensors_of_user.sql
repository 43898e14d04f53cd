-- Cameras that the user may read, or write with p_to_write: those granted, and those of stores and organizations granted. It goes from
-- the grants to the cameras, so that a user of one camera does not pay for a fleet of thousands.

CREATE OR REPLACE FUNCTION retail.sensors_of_user(p_to_write boolean) RETURNS uuid[]
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH granted AS MATERIALIZED (
    SELECT a.organization_id, a.store_id, a.sensor_id
    FROM retail.user_sensor_access AS a
    WHERE a.user_id = (SELECT retail.current_user_id()) AND (a.can_write OR NOT p_to_write)
  )
  SELECT coalesce(array_agg(c.id ORDER BY c.id), '{}')
  FROM (
    SELECT g.sensor_id FROM granted AS g WHERE g.sensor_id IS NOT NULL
    UNION
    SELECT m.id FROM granted AS g JOIN retail.sensor_metadata AS m ON m.store_id = g.store_id
    UNION
    SELECT m.id
    FROM granted AS g
    JOIN retail.stores AS s ON s.organization_id = g.organization_id
    JOIN retail.sensor_metadata AS m ON m.store_id = s.id
  ) AS c (id)
$$;
