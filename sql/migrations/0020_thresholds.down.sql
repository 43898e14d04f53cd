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

DELETE FROM retail.alert_rules WHERE metric IN ('clock_offset_seconds', 'hours_set_aside');
UPDATE retail.alert_rules
SET warning_threshold = 30, description = 'A camera that is asked has not answered for half an hour.'
WHERE rule_name = 'camera_offline' AND store_id IS NULL AND warning_threshold = 10 AND coalesce(critical_threshold, 30) >= 30;
ALTER TABLE retail.alert_rules DROP CONSTRAINT metric_of_a_rule_is_known;
ALTER TABLE retail.alert_rules ADD CONSTRAINT metric_of_a_rule_is_known CHECK (
  (scope = 'store' AND metric IN ('utilization_percent', 'queue_length', 'queue_wait_minutes',
    'abandonment_risk_percent', 'conversion_drop_percent', 'minutes_without_counts'))
  OR (scope = 'sensor' AND metric IN ('anomaly_severity', 'minutes_since_answer')));
