-- One alert, with the names of a camera's alert; those of a whole store have no camera.

CREATE OR REPLACE VIEW retail.analytics_alerts WITH (security_invoker = true) AS
SELECT
  a.id,
  a.sensor_id AS camera_id,
  a.store_id,
  a."timestamp" AS alert_timestamp,
  a.alert_type,
  a.severity AS alert_severity,
  a.message AS alert_message,
  a.metrics AS alert_data,
  a.threshold_value,
  a.actual_value AS current_value,
  a.acknowledged AS is_acknowledged,
  a.acknowledged_at,
  a.acknowledged_by,
  a.resolved AS is_resolved,
  a.resolved_at,
  a.resolution_notes,
  a.created_at
FROM retail.alerts_generated AS a;
