-- Alert rules as data, with the defaults, and the alerts that they raised.

CREATE TABLE retail.alert_rules (
  id                     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  rule_name              text NOT NULL
    CONSTRAINT rule_name_is_lower_case CHECK (rule_name ~ '^[a-z][a-z0-9_]*$'),
  store_id               uuid REFERENCES retail.stores (id) ON DELETE CASCADE,
  alert_type             text NOT NULL
    CONSTRAINT alert_type_of_a_rule_is_known
      CHECK (alert_type IN ('capacity', 'queue', 'conversion', 'anomaly', 'system')),
  scope                  text NOT NULL CONSTRAINT scope_of_a_rule_is_known CHECK (scope IN ('sensor', 'store')),
  metric                 text NOT NULL
    CONSTRAINT metric_of_a_rule_is_known CHECK (
      (scope = 'store' AND metric IN ('utilization_percent', 'queue_length', 'queue_wait_minutes',
        'abandonment_risk_percent', 'conversion_drop_percent', 'minutes_without_counts'))
      OR (scope = 'sensor' AND metric IN ('anomaly_severity', 'minutes_since_answer'))),
  comparison             text NOT NULL CONSTRAINT comparison_is_known CHECK (comparison IN ('>', '>=', '<', '<=')),
  warning_threshold      double precision
    CONSTRAINT warning_threshold_is_a_number CHECK (warning_threshold > '-Infinity' AND warning_threshold < 'Infinity'),
  critical_threshold     double precision
    CONSTRAINT critical_threshold_is_a_number CHECK (critical_threshold > '-Infinity' AND critical_threshold < 'Infinity'),
  hold_minutes           integer NOT NULL CONSTRAINT hold_minutes_is_not_negative CHECK (hold_minutes >= 0),
  cool_down_minutes      integer NOT NULL
    CONSTRAINT cool_down_is_at_most_30_days CHECK (cool_down_minutes BETWEEN 0 AND 43200),
  escalate_after_minutes integer
    CONSTRAINT escalate_after_minutes_is_positive CHECK (escalate_after_minutes > 0),
  recency_minutes        integer NOT NULL CONSTRAINT recency_minutes_is_positive CHECK (recency_minutes > 0),
  is_enabled             boolean NOT NULL DEFAULT true,
  description            text NOT NULL,
  updated_at             timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT one_rule_of_a_name_for_all_and_one_for_a_store UNIQUE NULLS NOT DISTINCT (rule_name, store_id),
  CONSTRAINT a_rule_has_a_threshold CHECK (warning_threshold IS NOT NULL OR critical_threshold IS NOT NULL),
  CONSTRAINT critical_is_worse_than_warning CHECK (
    CASE WHEN comparison IN ('>', '>=') THEN warning_threshold <= critical_threshold
    ELSE warning_threshold >= critical_threshold END)
);

CREATE TRIGGER touch BEFORE UPDATE ON retail.alert_rules
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();

INSERT INTO retail.alert_rules (rule_name, alert_type, scope, metric, comparison, warning_threshold, critical_threshold,
  hold_minutes, cool_down_minutes, escalate_after_minutes, recency_minutes, description)
VALUES
  ('overcrowding', 'capacity', 'store', 'utilization_percent', '>=', 90, 100, 10, 15, 15, 90,
    'More people inside than 90 % of the store''s capacity.'),
  ('queue_length', 'queue', 'store', 'queue_length', '>=', 8, 15, 0, 60, 30, 120,
    'Eight people or more wait at the tills on average over an hour.'),
  ('queue_wait', 'queue', 'store', 'queue_wait_minutes', '>=', 5, 10, 0, 60, 30, 120,
    'Customers wait five minutes or more on average over an hour.'),
  ('abandonment_risk', 'queue', 'store', 'abandonment_risk_percent', '>=', 35, 60, 0, 60, 30, 120,
    'The wait is so long that a third of the customers may leave without buying.'),
  ('conversion_drop', 'conversion', 'store', 'conversion_drop_percent', '>=', 20, 40, 0, 1440, NULL, 2880,
    'A day''s conversion, or where no till feed exists its capture rate, is a fifth below what is usual.'),
  ('anomaly', 'anomaly', 'sensor', 'anomaly_severity', '>=', 0.2, 0.6, 0, 180, NULL, 1440,
    'A camera''s counts are far from what is usual, or the camera itself seems faulty.'),
  ('camera_offline', 'system', 'sensor', 'minutes_since_answer', '>=', 30, 240, 0, 15, 240, 30,
    'A camera that is asked has not answered for half an hour.'),
  ('data_stale', 'system', 'store', 'minutes_without_counts', '>=', 120, 480, 0, 60, 480, 60,
    'A store has been open for two hours without any camera of it having counted.');

CREATE TABLE retail.alerts_generated (
  id               uuid PRIMARY KEY,
  rule_name        text NOT NULL,
  scope            text NOT NULL CONSTRAINT scope_of_an_alert_is_known CHECK (scope IN ('sensor', 'store')),
  sensor_id        uuid REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  store_id         uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  alert_type       text NOT NULL
    CONSTRAINT alert_type_is_known CHECK (alert_type IN ('capacity', 'queue', 'conversion', 'anomaly', 'system')),
  metric           text NOT NULL,
  severity         text NOT NULL CONSTRAINT severity_is_known CHECK (severity IN ('warning', 'critical')),
  "timestamp"      timestamptz NOT NULL,
  title            text NOT NULL,
  message          text NOT NULL,
  metrics          jsonb NOT NULL CONSTRAINT metrics_is_an_object CHECK (jsonb_typeof(metrics) = 'object'),
  threshold_value  double precision NOT NULL,
  actual_value     double precision
    CONSTRAINT actual_value_is_a_number CHECK (actual_value > '-Infinity' AND actual_value < 'Infinity'),
  first_seen_at    timestamptz NOT NULL,
  last_seen_at     timestamptz NOT NULL,
  occurrences      integer NOT NULL CONSTRAINT occurrences_is_positive CHECK (occurrences > 0),
  acknowledged     boolean NOT NULL,
  acknowledged_by  text,
  acknowledged_at  timestamptz,
  resolved         boolean NOT NULL,
  resolved_at      timestamptz,
  resolution_notes text,
  actions_taken    jsonb NOT NULL CONSTRAINT actions_taken_is_an_array CHECK (jsonb_typeof(actions_taken) = 'array'),
  escalated        boolean NOT NULL,
  escalated_to     text,
  state            text NOT NULL GENERATED ALWAYS AS (
    CASE WHEN resolved THEN 'resolved' WHEN acknowledged THEN 'acknowledged' WHEN escalated THEN 'escalated'
    ELSE 'open' END) STORED,
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT an_alert_of_a_sensor_names_it CHECK ((scope = 'sensor') = (sensor_id IS NOT NULL)),
  CONSTRAINT a_condition_is_seen_to_last_after_it_began CHECK (last_seen_at >= first_seen_at),
  CONSTRAINT acknowledged_has_a_name_and_a_time
    CHECK (acknowledged = (acknowledged_by IS NOT NULL) AND acknowledged = (acknowledged_at IS NOT NULL)),
  CONSTRAINT resolved_has_a_time_and_a_note
    CHECK (resolved = (resolved_at IS NOT NULL) AND resolved = (resolution_notes IS NOT NULL)),
  CONSTRAINT escalated_to_somebody_is_escalated CHECK (escalated OR escalated_to IS NULL)
);
CREATE UNIQUE INDEX one_open_alert_of_a_rule_for_a_camera_or_store
  ON retail.alerts_generated (rule_name, coalesce(sensor_id, store_id)) WHERE NOT resolved;
CREATE INDEX alerts_generated_resolved ON retail.alerts_generated (resolved_at) WHERE resolved;
CREATE INDEX alerts_generated_timestamp ON retail.alerts_generated ("timestamp");
