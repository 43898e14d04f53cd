-- What users are granted: what retail_sensors/storage/access.py asks and writes.

-- name: organizations_named
SELECT id::text, organization_name FROM retail.organizations WHERE organization_name = %(name)s

-- name: stores_named
-- By its name alone, or with its organization's before it: two retailers may call a store the same.
SELECT s.id::text, o.organization_name || '/' || s.store_name
FROM retail.stores AS s
JOIN retail.organizations AS o ON o.id = s.organization_id
WHERE s.store_name = %(name)s OR o.organization_name || '/' || s.store_name = %(name)s
ORDER BY 2

-- name: sensors_named
SELECT id::text, sensor_name FROM retail.sensor_metadata WHERE sensor_name = %(name)s

-- name: grant
-- The right that stands; a row only where something is new.
INSERT INTO retail.user_sensor_access AS a (user_id, organization_id, store_id, sensor_id, can_write, granted_by)
VALUES (%(user)s, %(organization)s::uuid, %(store)s::uuid, %(camera)s::uuid, %(can_write)s, %(by)s)
ON CONFLICT ON CONSTRAINT access_to_one_thing_is_granted_once DO UPDATE
SET can_write = excluded.can_write, granted_by = excluded.granted_by, granted_at = now()
WHERE a.can_write <> excluded.can_write
RETURNING true

-- name: revoke
DELETE FROM retail.user_sensor_access
WHERE user_id = %(user)s
  AND (%(organization)s::uuid IS NULL OR organization_id = %(organization)s::uuid)
  AND (%(store)s::uuid IS NULL OR store_id = %(store)s::uuid)
  AND (%(camera)s::uuid IS NULL OR sensor_id = %(camera)s::uuid)
RETURNING true

-- name: listed
-- Everything that is granted, with names.
SELECT a.user_id,
  CASE WHEN a.organization_id IS NOT NULL THEN 'organization' WHEN a.store_id IS NOT NULL THEN 'store' ELSE 'camera' END AS scope,
  coalesce(o.organization_name, r.organization_name || '/' || s.store_name, m.sensor_name) AS name,
  a.can_write, a.granted_by, a.granted_at
FROM retail.user_sensor_access AS a
LEFT JOIN retail.organizations AS o ON o.id = a.organization_id
LEFT JOIN retail.stores AS s ON s.id = a.store_id
LEFT JOIN retail.organizations AS r ON r.id = s.organization_id
LEFT JOIN retail.sensor_metadata AS m ON m.id = a.sensor_id
WHERE %(user)s::text IS NULL OR a.user_id = %(user)s
ORDER BY 1, 2, 3

-- name: guard
-- Makes the roles that are missing, and grants and policies anew; what the server refused to make.
SELECT retail.guard_tables()
