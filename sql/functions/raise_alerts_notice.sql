-- When a transaction commits that raised an alert or made one more severe: tells it once on channel retail_alerts, as {"id", "rule",
-- "severity", "store", "at"}. Everybody on the database may listen, so it holds identities and no names: the rest is read from
-- alerts_generated, by who may. It runs with its owner's rights, for at commit it may run as a role that cannot read alerts.

CREATE OR REPLACE FUNCTION retail.raise_alerts_notice() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND NOT (OLD.severity = 'warning' AND NEW.severity = 'critical') THEN
    RETURN NULL;
  END IF;
  -- As it stands at the end of the transaction: raised and withdrawn by it is no news, and the same text is delivered once.
  PERFORM pg_notify('retail_alerts', json_build_object('id', a.id, 'rule', a.rule_name, 'severity', a.severity, 'store', a.store_id,
    'at', to_char(a.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text)
  FROM retail.alerts_generated AS a
  WHERE a.id = NEW.id AND NOT a.resolved;
  RETURN NULL;
END
$$;
