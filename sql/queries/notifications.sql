-- Routes and messages: what retail_sensors/storage/notifications.py asks and writes.

-- name: listed_routes
SELECT r.id::text AS id, r.route_name, r.target_reference, r.secret_reference, o.organization_name, s.store_name, r.min_severity,
  r.rules, r.alert_types, r.cameras, r.events, r.quiet_from, r.quiet_until, r.is_critical_held, r.cool_down_minutes, r.is_enabled,
  r.updated_at
FROM retail.alert_routes AS r
LEFT JOIN retail.organizations AS o ON o.id = r.organization_id
LEFT JOIN retail.stores AS s ON s.id = r.store_id
ORDER BY r.route_name

-- name: add_route
INSERT INTO retail.alert_routes (route_name, target_reference, secret_reference, organization_id, store_id, min_severity, rules,
  alert_types, cameras, events, quiet_from, quiet_until, is_critical_held, cool_down_minutes)
VALUES (%(route_name)s, %(target_reference)s, %(secret_reference)s, %(organization_id)s::uuid, %(store_id)s::uuid,
  %(min_severity)s, %(rules)s::jsonb, %(alert_types)s::jsonb, %(cameras)s::jsonb, %(events)s::jsonb, %(quiet_from)s::time,
  %(quiet_until)s::time, %(is_critical_held)s, %(cool_down_minutes)s)
ON CONFLICT (route_name) DO NOTHING
RETURNING id::text AS id

-- name: remove_route
-- Its messages go with it.
DELETE FROM retail.alert_routes WHERE route_name = %(name)s RETURNING route_name

-- name: switch_route
UPDATE retail.alert_routes SET is_enabled = %(is_enabled)s WHERE route_name = %(name)s RETURNING route_name

-- name: names_of_rules
SELECT DISTINCT rule_name FROM retail.alert_rules ORDER BY rule_name

-- name: organization_of_name
SELECT id::text AS id FROM retail.organizations WHERE organization_name = %(name)s

-- name: routes_with_messages
-- Routes that are switched on and have something to send, those first whose tries have failed least. One that has just not taken a
-- message is left alone for the shortest wait, whatever else there is for it.
SELECT n.route_id::text AS route_id
FROM retail.notifications AS n
JOIN retail.alert_routes AS r ON r.id = n.route_id
WHERE r.is_enabled AND n.state = 'pending' AND n.next_try_at <= %(now)s
  AND NOT EXISTS (
    SELECT FROM retail.notifications AS m
    WHERE m.route_id = r.id AND m.state = 'pending' AND m.last_error IS NOT NULL
      AND m.next_try_at - (%(waits)s::interval[])[m.attempts] > %(now)s::timestamptz - (%(waits)s::interval[])[1])
GROUP BY n.route_id
ORDER BY min(n.attempts), n.route_id

-- name: claim_message
-- Takes the oldest message that is due. It is due again when its wait is over, unless it is noted as sent before: whoever took it
-- may have died.
UPDATE retail.notifications AS n
SET attempts = n.attempts + 1, next_try_at = %(now)s::timestamptz + (%(waits)s::interval[])[n.attempts + 1]
FROM retail.alert_routes AS r
WHERE r.id = n.route_id AND n.id = (
  SELECT m.id
  FROM retail.notifications AS m
  WHERE m.route_id = %(route_id)s::uuid AND m.state = 'pending' AND m.next_try_at <= %(now)s
    AND m.attempts < cardinality(%(waits)s::interval[]) AND (%(id)s::uuid IS NULL OR m.id = %(id)s::uuid)
  ORDER BY m.event_at, m.id
  LIMIT 1
  FOR UPDATE SKIP LOCKED)
RETURNING n.id::text AS id, n.title, n.body, n.payload::text AS payload, n.event, n.severity, n.attempts, r.route_name,
  r.target_reference, r.secret_reference

-- name: note_sent
-- With the reason why some of its recipients did not get it, if there is one.
UPDATE retail.notifications
SET state = 'sent', sent_at = %(now)s, next_try_at = NULL, last_error = %(error)s
WHERE id = %(id)s::uuid AND state = 'pending'

-- name: note_failed_try
UPDATE retail.notifications
SET state = CASE WHEN %(is_last)s::boolean THEN 'failed' ELSE state END,
  next_try_at = CASE WHEN %(is_last)s::boolean THEN NULL ELSE next_try_at END, last_error = %(error)s
WHERE id = %(id)s::uuid AND state = 'pending'

-- name: route_states
-- How each route stands: messages that wait to be sent, and the newest reason why one could not be, or not to everybody.
SELECT r.route_name, r.is_enabled, count(n.id) FILTER (WHERE n.state = 'pending') AS pending,
  count(n.id) FILTER (WHERE n.state = 'held' AND n.summary_id IS NULL) AS held,
  count(n.id) FILTER (WHERE n.state = 'failed' AND n.event_at >= %(since)s) AS failed,
  max(n.sent_at) AS sent_at,
  (array_agg(n.last_error ORDER BY n.updated_at DESC) FILTER (WHERE n.state = 'pending' AND n.last_error IS NOT NULL
    OR n.state IN ('failed', 'sent') AND n.last_error IS NOT NULL AND n.event_at >= %(since)s))[1] AS last_error
FROM retail.alert_routes AS r
LEFT JOIN retail.notifications AS n ON n.route_id = r.id AND n.event <> 'test'
GROUP BY r.id
ORDER BY r.route_name

-- name: message_log
-- The newest messages, those of one route if it is named.
SELECT n.id::text AS id, r.route_name, n.event, n.event_at, n.severity, n.title, n.state, n.held_for, n.reason, n.attempts,
  n.next_try_at, n.sent_at, n.last_error, n.summary_id::text AS summary_id, n.alert_id::text AS alert_id, n.run_id
FROM retail.notifications AS n
JOIN retail.alert_routes AS r ON r.id = n.route_id
WHERE %(name)s::text IS NULL OR r.route_name = %(name)s
ORDER BY n.event_at DESC, n.created_at DESC, n.id
LIMIT %(limit)s
