-- Alerts and their rules: what retail_sensors/storage/alerts.py asks and writes.

-- name: lock_open_alerts
-- Whoever acknowledges one waits, or is waited for: what a person wrote is seen before anything is written over it.
SELECT id FROM retail.alerts_generated WHERE NOT resolved ORDER BY id FOR UPDATE

-- name: listed_alerts
-- Alerts with the names of their camera and store, the worst and newest first; without the resolved ones unless asked for.
SELECT a.id::text AS id, a.rule_name, a.alert_type, a.metric, a.severity, a.state, s.store_name, c.sensor_name, s.timezone, a.title,
  a.message, a.metrics, a.threshold_value, a.actual_value, a."timestamp", a.first_seen_at, a.last_seen_at, a.occurrences,
  a.acknowledged_by, a.acknowledged_at, a.escalated, a.escalated_to, a.resolved_at, a.resolution_notes, a.actions_taken
FROM retail.alerts_generated AS a
JOIN retail.stores AS s ON s.id = a.store_id
LEFT JOIN retail.sensor_metadata AS c ON c.id = a.sensor_id
WHERE NOT a.resolved OR %(resolved_too)s::boolean
ORDER BY a.resolved, a.severity, a."timestamp" DESC, a.id

-- name: lock_alert
-- The alerts whose identity starts so; two are enough to know that it does not say which.
SELECT id::text AS id, title, acknowledged, acknowledged_by, acknowledged_at, resolved, resolved_at
FROM retail.alerts_generated
WHERE starts_with(id::text, %(id)s)
ORDER BY id
LIMIT 2
FOR UPDATE

-- name: acknowledge_alert
UPDATE retail.alerts_generated
SET acknowledged = true, acknowledged_by = %(by)s, acknowledged_at = %(now)s,
  actions_taken = actions_taken || %(action)s::jsonb, updated_at = now()
WHERE id = %(id)s::uuid

-- name: escalate_alert
UPDATE retail.alerts_generated
SET escalated = true, escalated_to = %(to)s, actions_taken = actions_taken || %(action)s::jsonb, updated_at = now()
WHERE id = %(id)s::uuid

-- name: resolve_alert
UPDATE retail.alerts_generated
SET resolved = true, resolved_at = %(now)s, resolution_notes = %(note)s,
  actions_taken = actions_taken || %(action)s::jsonb, updated_at = now()
WHERE id = %(id)s::uuid

-- name: listed_rules
-- Rules by name, that for all stores first.
SELECT r.rule_name, s.store_name, r.alert_type, r.scope, r.metric, r.comparison, r.warning_threshold, r.critical_threshold,
  r.hold_minutes, r.cool_down_minutes, r.escalate_after_minutes, r.recency_minutes, r.is_enabled, r.description
FROM retail.alert_rules AS r
LEFT JOIN retail.stores AS s ON s.id = r.store_id
ORDER BY r.rule_name, s.store_name NULLS FIRST, r.id

-- name: stores_of_name
-- Stores that are called so, alone or after their organization and a slash.
SELECT s.id::text AS id, o.organization_name, s.store_name
FROM retail.stores AS s
JOIN retail.organizations AS o ON o.id = s.organization_id
WHERE s.store_name = %(name)s OR o.organization_name || '/' || s.store_name = %(name)s
ORDER BY o.organization_name

-- name: add_rule_of_store
-- The store's own row of a rule, as that for all stores is now.
INSERT INTO retail.alert_rules (rule_name, store_id, alert_type, scope, metric, comparison, warning_threshold,
  critical_threshold, hold_minutes, cool_down_minutes, escalate_after_minutes, recency_minutes, is_enabled, description)
SELECT rule_name, %(store_id)s::uuid, alert_type, scope, metric, comparison, warning_threshold, critical_threshold,
  hold_minutes, cool_down_minutes, escalate_after_minutes, recency_minutes, is_enabled, description
FROM retail.alert_rules
WHERE rule_name = %(rule)s AND store_id IS NULL
ON CONFLICT DO NOTHING

-- name: lock_rule
SELECT comparison, warning_threshold, critical_threshold, is_enabled
FROM retail.alert_rules
WHERE rule_name = %(rule)s AND store_id IS NOT DISTINCT FROM %(store_id)s::uuid
FOR UPDATE

-- name: set_rule
UPDATE retail.alert_rules
SET warning_threshold = %(warning)s, critical_threshold = %(critical)s, is_enabled = %(is_enabled)s
WHERE rule_name = %(rule)s AND store_id IS NOT DISTINCT FROM %(store_id)s::uuid
