-- When a transaction commits that raised an alert or made one more severe: tells it once on channel retail_alerts, as {"id", "at"}.
-- Everybody on the database may listen, whatever he was granted, so it says whose alert and what about to nobody: that is read from
-- alerts_generated, by who may. It runs with its owner's rights, for at commit it may run as a role that cannot read alerts.

CREATE OR REPLACE FUNCTION retail.raise_alerts_notice() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NOT (OLD.severity = 'warning' AND NEW.severity = 'critical') THEN
    RETURN NULL;
  END IF;
  -- As it stands at the end of the transaction: raised and withdrawn by it is no news, and the same text is delivered once.
  PERFORM pg_notify('retail_alerts', json_build_object('id', a.id,
    'at', to_char(a.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text)
  FROM retail.alerts_generated AS a
  WHERE a.id = NEW.id AND NOT a.resolved;
  RETURN NULL;
END
$$;
