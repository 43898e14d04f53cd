-- Rules on clocks and on counts set aside, and an earlier word about a silent camera where nobody has chosen another time.
ALTER TABLE retail.alert_rules DROP CONSTRAINT metric_of_a_rule_is_known;
ALTER TABLE retail.alert_rules ADD CONSTRAINT metric_of_a_rule_is_known CHECK (
  (scope = 'store' AND metric IN ('utilization_percent', 'queue_length', 'queue_wait_minutes',
    'abandonment_risk_percent', 'conversion_drop_percent', 'minutes_without_counts'))
  OR (scope = 'sensor' AND metric IN ('anomaly_severity', 'minutes_since_answer', 'clock_offset_seconds',
    'hours_set_aside')));

INSERT INTO retail.alert_rules (rule_name, alert_type, scope, metric, comparison, warning_threshold, critical_threshold,
  hold_minutes, cool_down_minutes, escalate_after_minutes, recency_minutes, description)
VALUES
  ('camera_clock', 'system', 'sensor', 'clock_offset_seconds', '>=', 120, 1800, 0, 60, NULL, 1440,
    'A camera''s clock is off by two minutes or more: it puts people into wrong hours.'),
  ('counts_lowered', 'system', 'sensor', 'hours_set_aside', '>=', 1, NULL, 0, 1440, NULL, 1440,
    'A camera told less for an hour of the last day than it had before: it was reset, and the lower count set aside.')
ON CONFLICT DO NOTHING;

UPDATE retail.alert_rules
SET warning_threshold = 10, description = 'A camera that is asked has not answered for ten minutes.'
WHERE rule_name = 'camera_offline' AND store_id IS NULL AND warning_threshold = 30;

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
