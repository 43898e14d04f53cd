-- Sets updated_at of a row that is about to be changed.

CREATE OR REPLACE FUNCTION retail.touch_updated_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.updated_at := pg_catalog.now();
  RETURN NEW;
END
$$;
