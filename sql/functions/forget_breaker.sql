-- Lets a camera begin anew that was switched off, switched on or given another address: what nobody answered at the old one says
-- nothing of the new one.

CREATE OR REPLACE FUNCTION retail.forget_breaker() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM retail.camera_breakers WHERE sensor_id = NEW.id;
  RETURN NULL;
END
$$;
