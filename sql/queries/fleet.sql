-- The registry of stores and cameras: what retail_sensors/storage/fleet.py asks and writes.

-- name: lock_registry
-- One registration at a time: a second one sees what the first has written. Collection goes on meanwhile.
SELECT pg_advisory_xact_lock(hashtextextended('retail.sensor_metadata', 0))

-- name: registered_stores
-- Stores with their tills as a JSON object, NULL where nothing is said of them.
SELECT s.id::text AS id, o.organization_name, s.store_name, s.timezone, s.country, s.capacity, s.area_sqm,
  s.traffic_basis, s.passerby_excludes_entrants, s.opening_hours, s.occupancy_reset_time,
  CASE WHEN t.store_id IS NOT NULL THEN jsonb_build_object(
    'lanes', t.lanes, 'service_rate_per_minute', t.service_rate_per_minute, 'target_minutes', t.target_minutes,
    'target_share', t.target_share, 'star_target', t.star_target) END AS checkout
FROM retail.stores AS s
JOIN retail.organizations AS o ON o.id = s.organization_id
LEFT JOIN retail.store_service AS t ON t.store_id = s.id
ORDER BY o.organization_name COLLATE "C", s.store_name COLLATE "C"

-- name: registered_cameras
-- Cameras with their place, groups, lines and regions as JSON values, and the declared ways out of the regions as a list of
-- region, camera and region that they lead to.
SELECT c.id::text AS id, c.sensor_name, c.store_id::text AS store_id, s.store_name, o.organization_name, c.vendor, c.sensor_ip, c.sensor_port,
  c.timezone, c.location, c.username, c.password_reference, c.endpoints, c.heat_scale, c.retention_days,
  c.installed_on, c.is_active, c.capabilities, c.last_seen_at, c.clock_offset_seconds, c.tags,
  p.building_name AS building, p.floor_level AS floor, to_jsonb(p) - 'sensor_id' - 'updated_at' AS place,
  coalesce(g.groups, '[]') AS groups,
  coalesce(l.lines, '{}') AS lines, coalesce(r.regions, '{}') AS regions, coalesce(w.adjacent, '[]') AS adjacent
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
LEFT JOIN (
  SELECT sensor_id,
    jsonb_object_agg(line_number, jsonb_build_object(
      'role', role, 'is_inverted', is_inverted, 'line_name', line_name)) AS lines
  FROM retail.counting_lines
  GROUP BY sensor_id
) AS l ON l.sensor_id = c.id
LEFT JOIN (
  SELECT sensor_id,
    jsonb_object_agg(region_number, jsonb_build_object(
      'region_name', region_name, 'region_type', region_type, 'role', role, 'capacity', capacity,
      'business_purpose', business_purpose)) AS regions
  FROM retail.region_configurations
  GROUP BY sensor_id
) AS r ON r.sensor_id = c.id
LEFT JOIN (
  SELECT a.sensor_id,
    -- The order of the program that compares: that of the characters' numbers.
    jsonb_agg(jsonb_build_array(a.from_region, t.sensor_name, a.to_region)
      ORDER BY a.from_region, t.sensor_name COLLATE "C", a.to_region) AS adjacent
  FROM retail.region_adjacency AS a
  JOIN retail.sensor_metadata AS t ON t.id = a.to_sensor_id
  GROUP BY a.sensor_id
) AS w ON w.sensor_id = c.id
ORDER BY c.sensor_name

-- name: removed_cameras
-- Those of the names that cameras had which were removed.
SELECT DISTINCT name
FROM retail.fleet_changes
WHERE kind = 'camera' AND change = 'removed' AND name = ANY (%(names)s)

-- name: add_organizations
INSERT INTO retail.organizations (organization_name)
SELECT unnest(%(names)s::text[])
ON CONFLICT (organization_name) DO NOTHING
RETURNING organization_name

-- name: add_stores
INSERT INTO retail.stores (organization_id, store_name, timezone, country, capacity, area_sqm, traffic_basis,
  passerby_excludes_entrants, opening_hours, occupancy_reset_time)
SELECT o.id, t.store_name, t.timezone, t.country, t.capacity, t.area_sqm, t.traffic_basis, t.passerby_excludes_entrants,
  t.opening_hours, t.occupancy_reset_time
FROM jsonb_array_elements(%(rows)s) AS r
CROSS JOIN LATERAL jsonb_populate_record(NULL::retail.stores, r) AS t
JOIN retail.organizations AS o ON o.organization_name = r ->> 'organization_name'
RETURNING id::text AS id, store_name,
  (SELECT o.organization_name FROM retail.organizations AS o WHERE o.id = organization_id) AS organization_name

-- name: change_stores
UPDATE retail.stores AS s
SET timezone = t.timezone, country = t.country, capacity = t.capacity, area_sqm = t.area_sqm,
  traffic_basis = t.traffic_basis, passerby_excludes_entrants = t.passerby_excludes_entrants,
  opening_hours = t.opening_hours, occupancy_reset_time = t.occupancy_reset_time
FROM jsonb_populate_recordset(NULL::retail.stores, %(rows)s) AS t
WHERE s.id = t.id

-- name: remove_checkouts
DELETE FROM retail.store_service
WHERE store_id = ANY (%(ids)s::uuid[])

-- name: set_checkouts
INSERT INTO retail.store_service (store_id, lanes, service_rate_per_minute, target_minutes, target_share, star_target)
SELECT t.store_id, t.lanes, t.service_rate_per_minute, t.target_minutes, t.target_share, t.star_target
FROM jsonb_populate_recordset(NULL::retail.store_service, %(rows)s) AS t
ON CONFLICT (store_id) DO UPDATE SET lanes = excluded.lanes, service_rate_per_minute = excluded.service_rate_per_minute,
  target_minutes = excluded.target_minutes, target_share = excluded.target_share, star_target = excluded.star_target

-- name: vacate_addresses
-- Two cameras that exchange their addresses would meet half-way: the addresses are given up first.
UPDATE retail.sensor_metadata
SET sensor_ip = id::text
WHERE id = ANY (%(ids)s::uuid[])

-- name: add_cameras
INSERT INTO retail.sensor_metadata (sensor_name, store_id, vendor, sensor_ip, sensor_port, timezone, location, username,
  password_reference, endpoints, heat_scale, retention_days, installed_on, is_active, tags)
SELECT t.sensor_name, t.store_id, t.vendor, t.sensor_ip, t.sensor_port, t.timezone, t.location, t.username,
  t.password_reference, t.endpoints, t.heat_scale, t.retention_days, t.installed_on, t.is_active, t.tags
FROM jsonb_populate_recordset(NULL::retail.sensor_metadata, %(rows)s) AS t
RETURNING id::text AS id, sensor_name

-- name: change_cameras
UPDATE retail.sensor_metadata AS c
SET store_id = t.store_id, vendor = t.vendor, sensor_ip = t.sensor_ip, sensor_port = t.sensor_port,
  timezone = t.timezone, location = t.location, username = t.username, password_reference = t.password_reference,
  endpoints = t.endpoints, heat_scale = t.heat_scale, retention_days = t.retention_days, installed_on = t.installed_on,
  is_active = t.is_active, tags = t.tags
FROM jsonb_populate_recordset(NULL::retail.sensor_metadata, %(rows)s) AS t
WHERE c.id = t.id

-- name: remove_lines
DELETE FROM retail.counting_lines
WHERE sensor_id = ANY (%(ids)s::uuid[])

-- name: add_lines
INSERT INTO retail.counting_lines (sensor_id, line_number, role, is_inverted, line_name)
SELECT t.id, line.key::integer, line.value ->> 'role', (line.value -> 'is_inverted')::boolean, line.value ->> 'line_name'
FROM jsonb_to_recordset(%(rows)s) AS t (id uuid, lines jsonb)
CROSS JOIN LATERAL jsonb_each(t.lines) AS line

-- name: remove_regions
DELETE FROM retail.region_configurations
WHERE sensor_id = ANY (%(ids)s::uuid[])

-- name: add_regions
INSERT INTO retail.region_configurations (sensor_id, region_number, region_name, region_type, role, capacity,
  business_purpose)
SELECT t.id, region.key::integer, region.value ->> 'region_name', region.value ->> 'region_type',
  region.value ->> 'role', (region.value ->> 'capacity')::integer, region.value ->> 'business_purpose'
FROM jsonb_to_recordset(%(rows)s) AS t (id uuid, regions jsonb)
CROSS JOIN LATERAL jsonb_each(t.regions) AS region

-- name: remove_adjacent
DELETE FROM retail.region_adjacency
WHERE sensor_id = ANY (%(ids)s::uuid[])

-- name: add_adjacent
INSERT INTO retail.region_adjacency (sensor_id, from_region, to_sensor_id, to_region)
SELECT t.id, (way.value ->> 0)::integer, c.id, (way.value ->> 2)::integer
FROM jsonb_to_recordset(%(rows)s) AS t (id uuid, adjacent jsonb)
CROSS JOIN LATERAL jsonb_array_elements(t.adjacent) AS way
JOIN retail.sensor_metadata AS c ON c.sensor_name = way.value ->> 1

-- name: set_active
UPDATE retail.sensor_metadata
SET is_active = %(is_active)s
WHERE id = ANY (%(ids)s::uuid[]) AND is_active <> %(is_active)s
RETURNING sensor_name

-- name: remove_cameras
DELETE FROM retail.sensor_metadata
WHERE id = ANY (%(ids)s::uuid[])

-- name: record_capabilities
UPDATE retail.sensor_metadata
SET capabilities = %(capabilities)s
WHERE sensor_name = %(name)s
RETURNING sensor_name
