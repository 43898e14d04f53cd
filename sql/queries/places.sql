-- Places, groups and tags of cameras, and the record of changes: what retail_sensors/storage/places.py and fleet.py ask and write.

-- name: members
-- Every camera with what the words of a selection may name, and all of its place. By itself, because every run and tick asks for it:
-- with the lines and regions of `registered_cameras` it takes six times as long.
SELECT c.id::text AS id, c.sensor_name, s.store_name, o.organization_name, coalesce(g.groups, '[]') AS groups, c.tags,
  p.building_name AS building, p.floor_level AS floor, to_jsonb(p) - 'sensor_id' - 'updated_at' AS place
FROM retail.sensor_metadata AS c
JOIN retail.stores AS s ON s.id = c.store_id
JOIN retail.organizations AS o ON o.id = s.organization_id
LEFT JOIN retail.camera_locations AS p ON p.sensor_id = c.id
LEFT JOIN (
  SELECT a.sensor_id, jsonb_agg(g.group_name ORDER BY g.group_name COLLATE "C") AS groups
  FROM retail.camera_group_assignments AS a
  JOIN retail.camera_groups AS g ON g.id = a.group_id
  GROUP BY a.sensor_id
) AS g ON g.sensor_id = c.id
ORDER BY c.sensor_name

-- name: registered_groups
-- Every group with the names of its cameras.
SELECT g.id::text AS id, o.organization_name, g.group_name, g.group_type, g.description, ARRAY (
    SELECT c.sensor_name
    FROM retail.camera_group_assignments AS a
    JOIN retail.sensor_metadata AS c ON c.id = a.sensor_id
    WHERE a.group_id = g.id
    ORDER BY c.sensor_name COLLATE "C") AS cameras
FROM retail.camera_groups AS g
JOIN retail.organizations AS o ON o.id = g.organization_id
ORDER BY o.organization_name COLLATE "C", g.group_name COLLATE "C"

-- name: add_groups
INSERT INTO retail.camera_groups (organization_id, group_name, group_type, description)
SELECT o.id, t.group_name, t.group_type, t.description
FROM jsonb_array_elements(%(rows)s) AS r
CROSS JOIN LATERAL jsonb_populate_record(NULL::retail.camera_groups, r) AS t
JOIN retail.organizations AS o ON o.organization_name = r ->> 'organization_name'

-- name: change_groups
UPDATE retail.camera_groups AS g
SET group_type = t.group_type, description = t.description
FROM jsonb_populate_recordset(NULL::retail.camera_groups, %(rows)s) AS t
WHERE g.id = t.id

-- name: remove_groups
DELETE FROM retail.camera_groups
WHERE id = ANY (%(ids)s::uuid[])

-- name: remove_assignments
-- What the cameras are in and are not to be in any more.
DELETE FROM retail.camera_group_assignments AS a
USING jsonb_to_recordset(%(rows)s) AS t (id uuid, organization_name text, groups jsonb),
  retail.camera_groups AS g, retail.organizations AS o
WHERE a.sensor_id = t.id AND g.id = a.group_id AND o.id = g.organization_id
  AND NOT (o.organization_name = t.organization_name AND t.groups ? g.group_name)

-- name: add_assignments
INSERT INTO retail.camera_group_assignments (sensor_id, group_id)
SELECT t.id, g.id
FROM jsonb_to_recordset(%(rows)s) AS t (id uuid, organization_name text, groups jsonb)
JOIN retail.organizations AS o ON o.organization_name = t.organization_name
JOIN retail.camera_groups AS g ON g.organization_id = o.id AND t.groups ? g.group_name
ON CONFLICT (sensor_id, group_id) DO NOTHING

-- name: remove_locations
DELETE FROM retail.camera_locations
WHERE sensor_id = ANY (%(ids)s::uuid[])

-- name: set_locations
INSERT INTO retail.camera_locations (sensor_id, location_type, building_name, floor_level, zone_name, latitude, longitude,
  x_m, y_m, area_sqm, max_capacity, mounting_height_m)
SELECT t.sensor_id, t.location_type, t.building_name, t.floor_level, t.zone_name, t.latitude, t.longitude, t.x_m, t.y_m,
  t.area_sqm, t.max_capacity, t.mounting_height_m
FROM jsonb_populate_recordset(NULL::retail.camera_locations, %(rows)s) AS t
ON CONFLICT (sensor_id) DO UPDATE SET location_type = excluded.location_type, building_name = excluded.building_name,
  floor_level = excluded.floor_level, zone_name = excluded.zone_name, latitude = excluded.latitude,
  longitude = excluded.longitude, x_m = excluded.x_m, y_m = excluded.y_m, area_sqm = excluded.area_sqm,
  max_capacity = excluded.max_capacity, mounting_height_m = excluded.mounting_height_m

-- name: set_tags
UPDATE retail.sensor_metadata AS c
SET tags = t.tags
FROM jsonb_to_recordset(%(rows)s) AS t (id uuid, tags jsonb)
WHERE c.id = t.id

-- name: record_changes
INSERT INTO retail.fleet_changes (kind, organization_name, name, change, field, old_value, new_value, changed_by, command)
SELECT t.kind, t.organization_name, t.name, t.change, t.field, t.old_value, t.new_value, %(changed_by)s, %(command)s
FROM jsonb_populate_recordset(NULL::retail.fleet_changes, %(rows)s) AS t

-- name: history
-- The newest changes first; NULL: of everything.
SELECT changed_at, kind, organization_name, name, change, field, old_value, new_value, changed_by, command
FROM retail.fleet_changes
WHERE %(name)s::text IS NULL OR name = %(name)s
ORDER BY changed_at DESC, kind, name COLLATE "C", field COLLATE "C" NULLS FIRST
LIMIT %(limit)s
