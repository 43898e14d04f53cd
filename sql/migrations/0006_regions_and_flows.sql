-- Figures of regions, and modelled flows between regions and cameras; the views of whole stores stand in sql/views/.

CREATE TABLE retail.region_adjacency (
  sensor_id    uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  from_region  integer NOT NULL CONSTRAINT from_region_is_1_to_4 CHECK (from_region BETWEEN 1 AND 4),
  to_sensor_id uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  to_region    integer NOT NULL CONSTRAINT to_region_is_1_to_4 CHECK (to_region BETWEEN 1 AND 4),
  CONSTRAINT region_adjacency_pkey PRIMARY KEY (sensor_id, from_region, to_sensor_id, to_region),
  CONSTRAINT a_region_does_not_lead_to_itself CHECK (sensor_id <> to_sensor_id OR from_region <> to_region)
);
CREATE INDEX region_adjacency_to_sensor ON retail.region_adjacency (to_sensor_id);

CREATE TABLE retail.regional_analytics (
  sensor_id         uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  region_number     integer NOT NULL CONSTRAINT region_number_is_1_to_4 CHECK (region_number BETWEEN 1 AND 4),
  date              date NOT NULL,
  bucket_size       text NOT NULL CONSTRAINT bucket_size_is_known CHECK (bucket_size IN ('1h', '1day')),
  time_bucket       timestamptz NOT NULL,
  metrics           jsonb NOT NULL CONSTRAINT metrics_is_an_object CHECK (jsonb_typeof(metrics) = 'object'),
  data_completeness double precision NOT NULL
    CONSTRAINT data_completeness_is_a_share CHECK (data_completeness BETWEEN 0 AND 1),
  updated_at        timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT regional_analytics_pkey PRIMARY KEY (sensor_id, region_number, bucket_size, time_bucket)
);
CREATE INDEX regional_analytics_date ON retail.regional_analytics USING brin (date);

CREATE TABLE retail.pathway_analytics (
  sensor_id                   uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  date                        date NOT NULL,
  from_region                 integer NOT NULL CONSTRAINT from_region_is_1_to_4 CHECK (from_region BETWEEN 1 AND 4),
  to_region                   integer NOT NULL CONSTRAINT to_region_is_1_to_4 CHECK (to_region BETWEEN 1 AND 4),
  transition_count            integer CONSTRAINT transition_count_is_not_negative CHECK (transition_count >= 0),
  avg_transition_time_seconds double precision
    CONSTRAINT avg_transition_time_is_not_negative CHECK (avg_transition_time_seconds >= 0),
  peak_transition_hour        time,
  pathway_efficiency_score    double precision
    CONSTRAINT pathway_efficiency_score_is_0_to_100 CHECK (pathway_efficiency_score BETWEEN 0 AND 100),
  is_primary_path             boolean,
  residual                    double precision CONSTRAINT residual_is_a_share CHECK (residual BETWEEN 0 AND 1),
  data_completeness           double precision NOT NULL
    CONSTRAINT data_completeness_is_a_share CHECK (data_completeness BETWEEN 0 AND 1),
  quality                     jsonb NOT NULL,
  updated_at                  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT pathway_analytics_pkey PRIMARY KEY (sensor_id, date, from_region, to_region),
  CONSTRAINT a_path_leads_elsewhere CHECK (from_region <> to_region)
);
CREATE INDEX pathway_analytics_date ON retail.pathway_analytics (date);

CREATE TABLE retail.camera_flow_matrix (
  store_id                    uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  date                        date NOT NULL,
  from_camera                 uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  to_camera                   uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  transition_count            integer CONSTRAINT transition_count_is_not_negative CHECK (transition_count >= 0),
  avg_transition_time_seconds double precision
    CONSTRAINT avg_transition_time_is_not_negative CHECK (avg_transition_time_seconds >= 0),
  peak_flow_hour              time,
  flow_type                   text
    CONSTRAINT flow_type_is_known CHECK (flow_type IN ('direct', 'browsing', 'returning')),
  conversion_impact           double precision,
  residual                    double precision CONSTRAINT residual_is_a_share CHECK (residual BETWEEN 0 AND 1),
  data_completeness           double precision NOT NULL
    CONSTRAINT data_completeness_is_a_share CHECK (data_completeness BETWEEN 0 AND 1),
  quality                     jsonb NOT NULL,
  updated_at                  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT camera_flow_matrix_pkey PRIMARY KEY (store_id, date, from_camera, to_camera),
  CONSTRAINT a_flow_leads_to_another_camera CHECK (from_camera <> to_camera)
);
CREATE INDEX camera_flow_matrix_date ON retail.camera_flow_matrix (date);
CREATE INDEX camera_flow_matrix_from_camera ON retail.camera_flow_matrix (from_camera);
CREATE INDEX camera_flow_matrix_to_camera ON retail.camera_flow_matrix (to_camera);
