-- Whether the user may read every camera that there is. Rows of cameras need not be looked at one by one then: by its foreign key no
-- row is about a camera that the same statement does not see.

CREATE OR REPLACE FUNCTION retail.is_user_of_every_sensor() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH granted AS MATERIALIZED (SELECT retail.sensors_of_user(false) AS sensors)
  SELECT pg_catalog.cardinality(g.sensors) > 0 AND NOT EXISTS (
    SELECT FROM retail.sensor_metadata AS m WHERE m.id NOT IN (SELECT pg_catalog.unnest(w.sensors) FROM granted AS w))
  FROM granted AS g
$$;
