-- Schema retail: the fleet registry, what cameras said, what became of asking them, and hourly and daily figures.
-- Columns are described in retail_sensors/tables and, from there, by COMMENT ON; functions stand in sql/functions/.

-- The registry -------------------------------------------------------------------------------------------------------

CREATE TABLE retail.organizations (
  id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_name text NOT NULL CONSTRAINT organization_name_is_unique UNIQUE,
  created_at        timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE retail.stores (
  id                         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  organization_id            uuid NOT NULL REFERENCES retail.organizations (id) ON DELETE CASCADE,
  store_name                 text NOT NULL,
  timezone                   text NOT NULL,
  country                    text CONSTRAINT country_is_iso_3166_alpha_2 CHECK (country ~ '^[A-Z]{2}$'),
  capacity                   integer CONSTRAINT capacity_is_positive CHECK (capacity > 0),
  area_sqm                   numeric CONSTRAINT area_sqm_is_positive CHECK (area_sqm > 0),
  traffic_basis              text NOT NULL DEFAULT 'entries'
    CONSTRAINT traffic_basis_is_known CHECK (traffic_basis IN ('entries', 'exits', 'mean')),
  passerby_excludes_entrants boolean NOT NULL DEFAULT false,
  opening_hours              jsonb CONSTRAINT opening_hours_is_an_object CHECK (jsonb_typeof(opening_hours) = 'object'),
  occupancy_reset_time       time NOT NULL DEFAULT '04:00',
  created_at                 timestamptz NOT NULL DEFAULT now(),
  updated_at                 timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT store_name_is_unique_in_its_organization UNIQUE (organization_id, store_name)
);

CREATE TABLE retail.sensor_metadata (
  id                   uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  sensor_name          text NOT NULL CONSTRAINT sensor_name_is_unique UNIQUE,
  store_id             uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  vendor               text NOT NULL DEFAULT 'milesight',
  sensor_ip            text NOT NULL,
  sensor_port          integer NOT NULL DEFAULT 80
    CONSTRAINT sensor_port_is_a_tcp_port CHECK (sensor_port BETWEEN 1 AND 65535),
  timezone             text NOT NULL,
  location             text,
  username             text,
  password_reference   text
    CONSTRAINT password_is_a_reference CHECK (password_reference ~ '^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$'),
  endpoints            jsonb NOT NULL CONSTRAINT endpoints_is_an_array CHECK (jsonb_typeof(endpoints) = 'array'),
  heat_scale           double precision NOT NULL DEFAULT 1 CONSTRAINT heat_scale_is_positive CHECK (heat_scale > 0),
  retention_days       jsonb NOT NULL DEFAULT '{}'
    CONSTRAINT retention_days_is_an_object CHECK (jsonb_typeof(retention_days) = 'object'),
  installed_on         date,
  is_active            boolean NOT NULL DEFAULT true,
  capabilities         jsonb,
  last_seen_at         timestamptz,
  clock_offset_seconds double precision,
  created_at           timestamptz NOT NULL DEFAULT now(),
  updated_at           timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT host_and_port_are_one_camera UNIQUE (sensor_ip, sensor_port)
);
CREATE INDEX sensor_metadata_store ON retail.sensor_metadata (store_id);

CREATE TABLE retail.counting_lines (
  sensor_id   uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  line_number integer NOT NULL CONSTRAINT line_number_is_1_to_4 CHECK (line_number BETWEEN 1 AND 4),
  role        text NOT NULL CONSTRAINT line_role_is_known CHECK (role IN ('entrance', 'passerby', 'internal')),
  is_inverted boolean NOT NULL DEFAULT false,
  line_name   text,
  PRIMARY KEY (sensor_id, line_number)
);

CREATE TABLE retail.region_configurations (
  sensor_id        uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  region_number    integer NOT NULL CONSTRAINT region_number_is_1_to_4 CHECK (region_number BETWEEN 1 AND 4),
  region_name      text NOT NULL,
  region_type      text,
  role             text NOT NULL DEFAULT 'zone'
    CONSTRAINT region_role_is_known CHECK (role IN ('entrance', 'queue', 'checkout', 'zone')),
  capacity         integer CONSTRAINT region_capacity_is_positive CHECK (capacity > 0),
  business_purpose text,
  PRIMARY KEY (sensor_id, region_number)
);

CREATE TRIGGER touch BEFORE UPDATE ON retail.stores
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();
-- A camera that is merely seen again has not changed: only its settings move updated_at.
CREATE TRIGGER touch BEFORE UPDATE OF sensor_name, store_id, vendor, sensor_ip, sensor_port, timezone, location, username,
    password_reference, endpoints, heat_scale, retention_days, installed_on, is_active, capabilities
  ON retail.sensor_metadata
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();

-- What cameras said --------------------------------------------------------------------------------------------------

CREATE TABLE retail.people_counting_raw (
  sensor_id    uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  "timestamp"  timestamptz NOT NULL,
  end_time     timestamptz NOT NULL,
  line1_in     integer CONSTRAINT line1_in_is_not_negative CHECK (line1_in >= 0),
  line1_out    integer CONSTRAINT line1_out_is_not_negative CHECK (line1_out >= 0),
  line2_in     integer CONSTRAINT line2_in_is_not_negative CHECK (line2_in >= 0),
  line2_out    integer CONSTRAINT line2_out_is_not_negative CHECK (line2_out >= 0),
  line3_in     integer CONSTRAINT line3_in_is_not_negative CHECK (line3_in >= 0),
  line3_out    integer CONSTRAINT line3_out_is_not_negative CHECK (line3_out >= 0),
  line4_in     integer CONSTRAINT line4_in_is_not_negative CHECK (line4_in >= 0),
  line4_out    integer CONSTRAINT line4_out_is_not_negative CHECK (line4_out >= 0),
  local_label  text NOT NULL,
  label_flag   text,
  collected_at timestamptz NOT NULL,
  is_final     boolean NOT NULL,
  updated_at   timestamptz NOT NULL DEFAULT now(),
  total_in     integer GENERATED ALWAYS AS (line1_in + line2_in + line3_in + line4_in) STORED,
  total_out    integer GENERATED ALWAYS AS (line1_out + line2_out + line3_out + line4_out) STORED,
  net_flow     integer GENERATED ALWAYS AS
    ((line1_in + line2_in + line3_in + line4_in) - (line1_out + line2_out + line3_out + line4_out)) STORED,
  CONSTRAINT people_counting_raw_pkey PRIMARY KEY (sensor_id, "timestamp"),
  CONSTRAINT people_counting_raw_ends_after_its_start CHECK (end_time > "timestamp")
) PARTITION BY RANGE ("timestamp");

CREATE TABLE retail.regional_counting_raw (
  sensor_id     uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  "timestamp"   timestamptz NOT NULL,
  end_time      timestamptz NOT NULL,
  region1_count integer CONSTRAINT region1_count_is_not_negative CHECK (region1_count >= 0),
  region2_count integer CONSTRAINT region2_count_is_not_negative CHECK (region2_count >= 0),
  region3_count integer CONSTRAINT region3_count_is_not_negative CHECK (region3_count >= 0),
  region4_count integer CONSTRAINT region4_count_is_not_negative CHECK (region4_count >= 0),
  local_label   text NOT NULL,
  label_flag    text,
  collected_at  timestamptz NOT NULL,
  is_final      boolean NOT NULL,
  updated_at    timestamptz NOT NULL DEFAULT now(),
  -- A region that is switched off may have no column at all, so the sum is over those that were reported.
  total_regional_count integer GENERATED ALWAYS AS (
    CASE WHEN coalesce(region1_count, region2_count, region3_count, region4_count) IS NULL THEN NULL
    ELSE coalesce(region1_count, 0) + coalesce(region2_count, 0) + coalesce(region3_count, 0) + coalesce(region4_count, 0)
    END) STORED,
  CONSTRAINT regional_counting_raw_pkey PRIMARY KEY (sensor_id, "timestamp"),
  CONSTRAINT regional_counting_raw_ends_after_its_start CHECK (end_time > "timestamp")
) PARTITION BY RANGE ("timestamp");

CREATE TABLE retail.heatmap_temporal_raw (
  sensor_id    uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  "timestamp"  timestamptz NOT NULL,
  end_time     timestamptz NOT NULL,
  heat_value   double precision CONSTRAINT heat_value_is_not_negative CHECK (heat_value >= 0 AND heat_value < 'Infinity'),
  local_label  text NOT NULL,
  label_flag   text,
  collected_at timestamptz NOT NULL,
  is_final     boolean NOT NULL,
  updated_at   timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT heatmap_temporal_raw_pkey PRIMARY KEY (sensor_id, "timestamp"),
  CONSTRAINT heatmap_temporal_raw_ends_after_its_start CHECK (end_time > "timestamp")
) PARTITION BY RANGE ("timestamp");

CREATE TABLE retail.vca_alarm_status (
  sensor_id                    uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  "timestamp"                  timestamptz NOT NULL,
  region_entrance_alarm_status integer,
  region_exit_alarm_status     integer,
  counter_alarm_status         integer,
  region1_in_alarm             integer,
  region1_out_alarm            integer,
  region2_in_alarm             integer,
  region2_out_alarm            integer,
  region3_in_alarm             integer,
  region3_out_alarm            integer,
  region4_in_alarm             integer,
  region4_out_alarm            integer,
  current_in_count             integer,
  current_out_count            integer,
  current_sum_count            integer,
  current_capacity_count       integer,
  current_counter_alarm        integer,
  extra                        jsonb,
  updated_at                   timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT vca_alarm_status_pkey PRIMARY KEY (sensor_id, "timestamp")
) PARTITION BY RANGE ("timestamp");

-- What became of asking them -----------------------------------------------------------------------------------------

CREATE TABLE retail.collection_log (
  sensor_id            uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  endpoint             text NOT NULL,
  hour_start           timestamptz NOT NULL,
  outcome              text NOT NULL,
  http_status          integer,
  row_count            integer NOT NULL,
  rejected_count       integer NOT NULL,
  latency_ms           double precision,
  attempts             integer NOT NULL,
  error                text,
  clock_offset_seconds double precision,
  asked_at             timestamptz NOT NULL,
  run_id               text,
  last_success_at      timestamptz,
  CONSTRAINT collection_log_pkey PRIMARY KEY (sensor_id, endpoint, hour_start)
) PARTITION BY RANGE (hour_start);

CREATE TRIGGER remember_success BEFORE INSERT OR UPDATE ON retail.collection_log
  FOR EACH ROW WHEN (NEW.outcome IN ('ok', 'ok_with_rejects', 'no_rows', 'beyond_retention'))
  EXECUTE FUNCTION retail.remember_success();

CREATE TABLE retail.rejected_payloads (
  sensor_id    uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  endpoint     text NOT NULL,
  payload_hash text NOT NULL,
  local_day    date,
  reason       text NOT NULL,
  raw          bytea NOT NULL CONSTRAINT raw_is_capped_at_64_kib CHECK (octet_length(raw) <= 65536),
  received_at  timestamptz NOT NULL,
  run_id       text,
  PRIMARY KEY (sensor_id, endpoint, payload_hash)
);
CREATE INDEX rejected_payloads_received ON retail.rejected_payloads (received_at);

CREATE TABLE retail.raw_revisions (
  table_name   text NOT NULL,
  sensor_id    uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  "timestamp"  timestamptz NOT NULL,
  reading_hash text NOT NULL,
  action       text NOT NULL CONSTRAINT revision_action_is_known CHECK (action IN ('refused', 'overwritten')),
  kept         jsonb NOT NULL,
  set_aside    jsonb NOT NULL,
  run_id       text,
  recorded_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (table_name, sensor_id, "timestamp", reading_hash)
);
CREATE INDEX raw_revisions_recorded ON retail.raw_revisions (recorded_at);

-- Monthly partitions -------------------------------------------------------------------------------------------------

DO $$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['people_counting_raw', 'regional_counting_raw', 'heatmap_temporal_raw',
                                 'vca_alarm_status', 'collection_log'] LOOP
    PERFORM retail.ensure_month_partitions(v_table, now(), now() + interval '2 months');
  END LOOP;
END
$$;

-- Figures --------------------------------------------------------------------------------------------------------------

CREATE TABLE retail.hourly_analytics (
  sensor_id                uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  hour_start               timestamptz NOT NULL,
  total_entries            numeric,
  total_exits              numeric,
  net_flow                 numeric,
  passersby                numeric,
  traffic                  numeric,
  is_open                  boolean NOT NULL,
  visitors                 numeric,
  capture_rate_percent     double precision,
  avg_occupancy            double precision,
  peak_occupancy           double precision,
  utilization              double precision,
  busiest_line             integer CONSTRAINT busiest_line_is_1_to_4 CHECK (busiest_line BETWEEN 1 AND 4),
  line_distribution        jsonb,
  region_counts            jsonb,
  avg_heat_value           double precision,
  heat_seconds_per_passage double precision,
  data_completeness        double precision NOT NULL
    CONSTRAINT data_completeness_is_a_share CHECK (data_completeness BETWEEN 0 AND 1),
  is_provisional           boolean NOT NULL,
  quality                  jsonb NOT NULL,
  updated_at               timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT hourly_analytics_pkey PRIMARY KEY (sensor_id, hour_start)
);
CREATE INDEX hourly_analytics_hour ON retail.hourly_analytics USING brin (hour_start);

CREATE TABLE retail.store_hourly (
  LIKE retail.hourly_analytics INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
  CONSTRAINT store_hourly_pkey PRIMARY KEY (sensor_id, hour_start)
);
ALTER TABLE retail.store_hourly RENAME COLUMN sensor_id TO store_id;
ALTER TABLE retail.store_hourly DROP CONSTRAINT busiest_line_is_1_to_4;
ALTER TABLE retail.store_hourly ALTER COLUMN busiest_line TYPE text;
ALTER TABLE retail.store_hourly
  ADD CONSTRAINT store_hourly_store_id_fkey FOREIGN KEY (store_id) REFERENCES retail.stores (id) ON DELETE CASCADE;
CREATE INDEX store_hourly_hour ON retail.store_hourly USING brin (hour_start);

CREATE TABLE retail.daily_analytics (
  sensor_id               uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  date                    date NOT NULL,
  total_visitors          numeric,
  total_entries           numeric,
  total_exits             numeric,
  net_flow                numeric,
  passersby               numeric,
  traffic                 numeric,
  capture_rate_percent    double precision,
  peak_hour               time,
  peak_hour_traffic       numeric,
  off_peak_hour           time,
  off_peak_traffic        numeric,
  hourly_distribution     jsonb NOT NULL,
  busiest_regions         jsonb,
  line_usage_distribution jsonb,
  avg_occupancy           double precision,
  peak_occupancy          double precision,
  utilization             double precision,
  avg_dwell_time_minutes  double precision,
  in_out_residual         double precision
    CONSTRAINT in_out_residual_is_a_share CHECK (in_out_residual BETWEEN -1 AND 1),
  dow_avg_comparison      double precision,
  wow_change_percent      double precision,
  mom_change_percent      double precision,
  yoy_change_percent      double precision,
  data_quality_score      double precision
    CONSTRAINT data_quality_score_is_0_to_100 CHECK (data_quality_score BETWEEN 0 AND 100),
  data_completeness       double precision NOT NULL
    CONSTRAINT data_completeness_is_a_share CHECK (data_completeness BETWEEN 0 AND 1),
  is_provisional          boolean NOT NULL,
  quality                 jsonb NOT NULL,
  updated_at              timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT daily_analytics_pkey PRIMARY KEY (sensor_id, date)
);
CREATE INDEX daily_analytics_date ON retail.daily_analytics (date);

CREATE TABLE retail.store_daily (
  LIKE retail.daily_analytics INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
  CONSTRAINT store_daily_pkey PRIMARY KEY (sensor_id, date)
);
ALTER TABLE retail.store_daily RENAME COLUMN sensor_id TO store_id;
ALTER TABLE retail.store_daily
  ADD CONSTRAINT store_daily_store_id_fkey FOREIGN KEY (store_id) REFERENCES retail.stores (id) ON DELETE CASCADE;
CREATE INDEX store_daily_date ON retail.store_daily (date);
