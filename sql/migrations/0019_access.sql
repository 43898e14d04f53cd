-- Who reads and writes which rows: users and what they are granted, the roles, and row-level security on every table.

CREATE TABLE retail.user_sensor_access (
  id              uuid NOT NULL DEFAULT gen_random_uuid(),
  user_id         text NOT NULL CONSTRAINT user_id_says_who CHECK (user_id <> ''),
  organization_id uuid REFERENCES retail.organizations (id) ON DELETE CASCADE,
  store_id        uuid REFERENCES retail.stores (id) ON DELETE CASCADE,
  sensor_id       uuid REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  can_write       boolean NOT NULL DEFAULT false,
  granted_by      text NOT NULL CONSTRAINT somebody_granted_it CHECK (granted_by <> ''),
  granted_at      timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT user_sensor_access_pkey PRIMARY KEY (id),
  CONSTRAINT access_is_to_an_organization_a_store_or_a_camera CHECK (num_nonnulls(organization_id, store_id, sensor_id) = 1),
  CONSTRAINT access_to_one_thing_is_granted_once UNIQUE NULLS NOT DISTINCT (user_id, organization_id, store_id, sensor_id)
);
CREATE INDEX user_sensor_access_organization ON retail.user_sensor_access (organization_id);
CREATE INDEX user_sensor_access_store ON retail.user_sensor_access (store_id);
CREATE INDEX user_sensor_access_sensor ON retail.user_sensor_access (sensor_id);
