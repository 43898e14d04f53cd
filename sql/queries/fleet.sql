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
ORDER BY o.organization_name, s.store_name

-- name: registered_cameras
-- Cameras with their lines and regions as JSON objects by number, and the declared ways out of the regions as a list of
-- region, camera and region that they lead to.
SELECT c.id::text AS id, c.sensor_name, c.store_id::text AS store_id, s.store_name, c.vendor, c.sensor_ip, c.sensor_port,
  c.timezone, c.location, c.username, c.password_reference, c.endpoints, c.heat_scale, c.retention_days,
  c.installed_on, c.is_active, c.capabilities, c.last_seen_at, c.clock_offset_seconds,
  coalesce(l.lines, '{}') AS lines, coalesce(r.regions, '{}') AS regions, coalesce(w.adjacent, '[]') AS adjacent
FROM retail.sensor_metadata AS c
JOIN retail.stores AS s ON s.id = c.store_id
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

-- name: add_organization
INSERT INTO retail.organizations (organization_name)
VALUES (%(organization_name)s)
ON CONFLICT (organization_name) DO NOTHING

-- name: add_store
INSERT INTO retail.stores (organization_id, store_name, timezone, country, capacity, area_sqm, traffic_basis,
  passerby_excludes_entrants, opening_hours, occupancy_reset_time)
SELECT o.id, %(store_name)s, %(timezone)s, %(country)s, %(capacity)s, %(area_sqm)s, %(traffic_basis)s,
  %(passerby_excludes_entrants)s, %(opening_hours)s, %(occupancy_reset_time)s
FROM retail.organizations AS o
WHERE o.organization_name = %(organization_name)s
RETURNING id::text

-- name: change_store
UPDATE retail.stores
SET timezone = %(timezone)s, country = %(country)s, capacity = %(capacity)s, area_sqm = %(area_sqm)s,
  traffic_basis = %(traffic_basis)s, passerby_excludes_entrants = %(passerby_excludes_entrants)s,
  opening_hours = %(opening_hours)s, occupancy_reset_time = %(occupancy_reset_time)s
WHERE id = %(id)s::uuid

-- name: remove_checkout
DELETE FROM retail.store_service
WHERE store_id = %(id)s::uuid

-- name: set_checkout
INSERT INTO retail.store_service (store_id, lanes, service_rate_per_minute, target_minutes, target_share, star_target)
SELECT %(id)s::uuid, t.lanes, t.service_rate_per_minute, t.target_minutes, t.target_share, t.star_target
FROM jsonb_populate_record(NULL::retail.store_service, %(checkout)s) AS t
ON CONFLICT (store_id) DO UPDATE SET lanes = excluded.lanes, service_rate_per_minute = excluded.service_rate_per_minute,
  target_minutes = excluded.target_minutes, target_share = excluded.target_share, star_target = excluded.star_target

-- name: vacate_addresses
-- Two cameras that exchange their addresses would meet half-way: the addresses are given up first.
UPDATE retail.sensor_metadata
SET sensor_ip = id::text
WHERE id = ANY (%(ids)s::uuid[])

-- name: add_camera
INSERT INTO retail.sensor_metadata (sensor_name, store_id, vendor, sensor_ip, sensor_port, timezone, location, username,
  password_reference, endpoints, heat_scale, retention_days, installed_on, is_active)
VALUES (%(sensor_name)s, %(store_id)s::uuid, %(vendor)s, %(sensor_ip)s, %(sensor_port)s, %(timezone)s, %(location)s,
  %(username)s, %(password_reference)s, %(endpoints)s, %(heat_scale)s, %(retention_days)s, %(installed_on)s,
  %(is_active)s)
RETURNING id::text

-- name: change_camera
UPDATE retail.sensor_metadata
SET store_id = %(store_id)s::uuid, vendor = %(vendor)s, sensor_ip = %(sensor_ip)s, sensor_port = %(sensor_port)s,
  timezone = %(timezone)s, location = %(location)s, username = %(username)s,
  password_reference = %(password_reference)s, endpoints = %(endpoints)s, heat_scale = %(heat_scale)s,
  retention_days = %(retention_days)s, installed_on = %(installed_on)s, is_active = %(is_active)s
WHERE id = %(id)s::uuid

-- name: remove_lines
DELETE FROM retail.counting_lines
WHERE sensor_id = %(id)s::uuid

-- name: add_lines
INSERT INTO retail.counting_lines (sensor_id, line_number, role, is_inverted, line_name)
SELECT %(id)s::uuid, line.key::integer, line.value ->> 'role', (line.value -> 'is_inverted')::boolean,
  line.value ->> 'line_name'
FROM jsonb_each(%(lines)s) AS line

-- name: remove_regions
DELETE FROM retail.region_configurations
WHERE sensor_id = %(id)s::uuid

-- name: add_regions
INSERT INTO retail.region_configurations (sensor_id, region_number, region_name, region_type, role, capacity,
  business_purpose)
SELECT %(id)s::uuid, region.key::integer, region.value ->> 'region_name', region.value ->> 'region_type',
  region.value ->> 'role', (region.value ->> 'capacity')::integer, region.value ->> 'business_purpose'
FROM jsonb_each(%(regions)s) AS region

-- name: remove_adjacent
DELETE FROM retail.region_adjacency
WHERE sensor_id = %(id)s::uuid

-- name: add_adjacent
INSERT INTO retail.region_adjacency (sensor_id, from_region, to_sensor_id, to_region)
SELECT %(id)s::uuid, (way.value ->> 0)::integer, t.id, (way.value ->> 2)::integer
FROM jsonb_array_elements(%(adjacent)s) AS way
JOIN retail.sensor_metadata AS t ON t.sensor_name = way.value ->> 1

-- name: set_active
UPDATE retail.sensor_metadata
SET is_active = %(is_active)s
WHERE id = ANY (%(ids)s::uuid[]) AND is_active <> %(is_active)s
RETURNING sensor_name

-- name: record_capabilities
UPDATE retail.sensor_metadata
SET capabilities = %(capabilities)s
WHERE sensor_name = %(name)s
RETURNING sensor_name
