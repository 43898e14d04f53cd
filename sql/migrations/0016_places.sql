-- Where cameras hang, their groups and tags, and what was changed of the fleet.

-- A list in JSON like `endpoints`; its text has one form only, so one expression can look at every word.
ALTER TABLE retail.sensor_metadata
  ADD COLUMN tags jsonb NOT NULL DEFAULT '[]'
    CONSTRAINT tags_are_lower_case_words
      CHECK (tags::text ~ '^\[("[a-z0-9][a-z0-9_.-]{0,62}"(, "[a-z0-9][a-z0-9_.-]{0,62}")*)?\]$');
DROP TRIGGER touch ON retail.sensor_metadata;
-- A camera that is merely seen again has not changed: only its settings move updated_at.
CREATE TRIGGER touch BEFORE UPDATE OF sensor_name, store_id, vendor, sensor_ip, sensor_port, timezone, location, username,
    password_reference, endpoints, heat_scale, retention_days, installed_on, is_active, capabilities, tags
  ON retail.sensor_metadata
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();

CREATE TABLE retail.camera_locations (
  sensor_id         uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  location_type     text
    CONSTRAINT location_type_is_known CHECK (
      location_type IN ('indoor', 'outdoor', 'entrance', 'exit', 'corridor', 'checkout', 'parking', 'storage', 'other')),
  building_name     text CONSTRAINT building_name_says_something CHECK (building_name <> ''),
  floor_level       integer CONSTRAINT floor_level_is_of_a_building CHECK (floor_level BETWEEN -100 AND 200),
  zone_name         text CONSTRAINT zone_name_says_something CHECK (zone_name <> ''),
  latitude          double precision CONSTRAINT latitude_is_on_earth CHECK (latitude BETWEEN -90 AND 90),
  longitude         double precision CONSTRAINT longitude_is_on_earth CHECK (longitude BETWEEN -180 AND 180),
  x_m               double precision CONSTRAINT x_m_is_within_a_site CHECK (x_m BETWEEN -100000 AND 100000),
  y_m               double precision CONSTRAINT y_m_is_within_a_site CHECK (y_m BETWEEN -100000 AND 100000),
  area_sqm          double precision CONSTRAINT watched_area_is_positive CHECK (area_sqm > 0 AND area_sqm < 1e9),
  max_capacity      integer CONSTRAINT watched_capacity_is_positive CHECK (max_capacity > 0),
  mounting_height_m double precision
    CONSTRAINT mounting_height_is_that_of_a_ceiling CHECK (mounting_height_m > 0 AND mounting_height_m <= 100),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT camera_locations_pkey PRIMARY KEY (sensor_id),
  CONSTRAINT a_place_says_something CHECK (num_nonnulls(location_type, building_name, floor_level, zone_name, latitude,
    longitude, x_m, y_m, area_sqm, max_capacity, mounting_height_m) > 0),
  CONSTRAINT coordinates_come_in_pairs
    CHECK ((latitude IS NULL) = (longitude IS NULL) AND (x_m IS NULL) = (y_m IS NULL))
);
CREATE TRIGGER touch BEFORE UPDATE ON retail.camera_locations
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();

CREATE TABLE retail.camera_groups (
  id              uuid NOT NULL DEFAULT gen_random_uuid(),
  organization_id uuid NOT NULL REFERENCES retail.organizations (id) ON DELETE CASCADE,
  group_name      text NOT NULL CONSTRAINT group_name_says_something CHECK (group_name <> ''),
  group_type      text
    CONSTRAINT group_type_is_known CHECK (group_type IN ('zone', 'building', 'floor', 'department', 'role', 'other')),
  description     text,
  updated_at      timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT camera_groups_pkey PRIMARY KEY (id)
);
-- Doors and doors are one group to whoever reads them.
CREATE UNIQUE INDEX group_name_is_unique_in_its_organization
  ON retail.camera_groups (organization_id, lower(group_name));
CREATE TRIGGER touch BEFORE UPDATE ON retail.camera_groups
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();

CREATE TABLE retail.camera_group_assignments (
  sensor_id   uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  group_id    uuid NOT NULL REFERENCES retail.camera_groups (id) ON DELETE CASCADE,
  assigned_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT camera_group_assignments_pkey PRIMARY KEY (sensor_id, group_id)
);
CREATE INDEX camera_group_assignments_group ON retail.camera_group_assignments (group_id);

-- It outlives what it is about, so it holds names and no keys of others.
CREATE TABLE retail.fleet_changes (
  id                uuid NOT NULL DEFAULT gen_random_uuid(),
  changed_at        timestamptz NOT NULL DEFAULT now(),
  kind              text NOT NULL CONSTRAINT changed_kind_is_known
    CHECK (kind IN ('organization', 'store', 'camera', 'group', 'location')),
  organization_name text NOT NULL,
  name              text NOT NULL,
  change            text NOT NULL CONSTRAINT change_is_known CHECK (change IN ('added', 'changed', 'removed')),
  field             text,
  old_value         jsonb,
  new_value         jsonb,
  changed_by        text NOT NULL CONSTRAINT somebody_changed_it CHECK (changed_by <> ''),
  command           text NOT NULL CONSTRAINT some_command_changed_it CHECK (command <> ''),
  CONSTRAINT fleet_changes_pkey PRIMARY KEY (id),
  CONSTRAINT only_a_changed_thing_has_a_field CHECK ((change = 'changed') = (field IS NOT NULL)),
  CONSTRAINT a_change_makes_a_difference CHECK (old_value IS DISTINCT FROM new_value)
);
CREATE INDEX fleet_changes_time ON retail.fleet_changes (changed_at);
CREATE INDEX fleet_changes_name ON retail.fleet_changes (name, changed_at);
