-- Notes in collection_log when a camera last answered for an hour.
-- A later failure leaves last_success_at: "asked in vain today" and "never answered" are different facts.

CREATE OR REPLACE FUNCTION retail.remember_success() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  NEW.last_success_at := NEW.asked_at;
  RETURN NEW;
END
$$;
