-- Thresholds to alerts at the write: the functions stand in sql/functions/raise_alerts*.sql.

DO $$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['store_hourly', 'realtime_analytics', 'queue_analytics'] LOOP
    EXECUTE format(
      'CREATE TRIGGER alerts_of_inserted AFTER INSERT ON retail.%I REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION retail.raise_alerts_of_figures()', v_table);
    EXECUTE format(
      'CREATE TRIGGER alerts_of_updated AFTER UPDATE ON retail.%I REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION retail.raise_alerts_of_figures()', v_table);
  END LOOP;
END
$$;

CREATE CONSTRAINT TRIGGER notice AFTER INSERT OR UPDATE ON retail.alerts_generated
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION retail.raise_alerts_notice();

-- Only the triggers call them.
REVOKE ALL ON FUNCTION retail.raise_alerts(text[], uuid[], timestamptz), retail.raise_alerts_of_figures(),
  retail.raise_alerts_notice() FROM PUBLIC;
