DROP TRIGGER notice ON retail.alerts_generated;
DO $$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['store_hourly', 'realtime_analytics', 'queue_analytics'] LOOP
    EXECUTE format('DROP TRIGGER alerts_of_inserted ON retail.%I', v_table);
    EXECUTE format('DROP TRIGGER alerts_of_updated ON retail.%I', v_table);
  END LOOP;
END
$$;
DROP FUNCTION retail.raise_alerts_notice();
DROP FUNCTION retail.raise_alerts_of_figures();
DROP FUNCTION retail.raise_alerts(text[], uuid[], timestamptz);
DROP FUNCTION retail.raise_alerts_text;
DROP FUNCTION retail.raise_alerts_observations(text[], uuid[], timestamptz);
DROP FUNCTION retail.raise_alerts_duration(double precision);
DROP FUNCTION retail.raise_alerts_is_open(jsonb, timestamp);
DROP FUNCTION retail.raise_alerts_severity(text, double precision, double precision, double precision);
