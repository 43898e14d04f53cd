-- Forecasts, the models that made them, what became of them, and staffing plans.
-- `actual_value` is filled by sql/queries/predictions.sql; the scores follow from it in the database, so that they always agree.

CREATE TABLE retail.prediction_model (
  model_version       text CONSTRAINT prediction_model_pkey PRIMARY KEY,
  trained_at          timestamptz NOT NULL,
  trained_from        timestamptz NOT NULL,
  trained_to          timestamptz NOT NULL,
  series_count        integer NOT NULL CONSTRAINT series_count_is_not_negative CHECK (series_count >= 0),
  learnt_series_count integer NOT NULL
    CONSTRAINT learnt_series_are_some_of_all CHECK (learnt_series_count BETWEEN 0 AND series_count),
  has_learner         boolean NOT NULL,
  features            jsonb NOT NULL CONSTRAINT features_is_an_array CHECK (jsonb_typeof(features) = 'array'),
  series_reasons      jsonb NOT NULL,
  backtest            jsonb,
  library_versions    jsonb NOT NULL,
  seed                bigint NOT NULL,
  model               bytea NOT NULL,
  quality             jsonb NOT NULL,
  updated_at          timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT training_ends_after_it_starts CHECK (trained_from <= trained_to)
);
CREATE INDEX prediction_model_trained_to ON retail.prediction_model (trained_to);

CREATE TABLE retail.predictions (
  sensor_id                 uuid NOT NULL REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  prediction_type           text NOT NULL CONSTRAINT prediction_type_is_known CHECK (prediction_type = 'traffic'),
  prediction_time           timestamptz NOT NULL,
  target_time               timestamptz NOT NULL,
  model_version             text NOT NULL,
  time_horizon_minutes      integer NOT NULL
    CONSTRAINT horizon_is_1_to_168_hours CHECK (time_horizon_minutes BETWEEN 60 AND 10080 AND time_horizon_minutes % 60 = 0),
  predicted_value           double precision NOT NULL
    CONSTRAINT predicted_value_is_a_count CHECK (predicted_value >= 0 AND predicted_value < 'Infinity'),
  confidence_interval_lower double precision NOT NULL,
  confidence_interval_upper double precision NOT NULL,
  lower_95                  double precision NOT NULL,
  upper_95                  double precision NOT NULL CONSTRAINT upper_95_is_a_number CHECK (upper_95 < 'Infinity'),
  confidence_score          double precision CONSTRAINT confidence_score_is_0_to_1 CHECK (confidence_score BETWEEN 0 AND 1),
  model_name                text NOT NULL
    CONSTRAINT model_name_is_known CHECK (model_name IN ('global_boosted_median', 'simple_rule')),
  method                    text NOT NULL
    CONSTRAINT method_is_known CHECK (method IN ('boosted_median', 'median_4', 'closed')),
  features_used             jsonb NOT NULL CONSTRAINT features_used_is_an_array CHECK (jsonb_typeof(features_used) = 'array'),
  actual_value              double precision
    CONSTRAINT actual_value_is_a_count CHECK (actual_value >= 0 AND actual_value < 'Infinity'),
  -- greatest() leaves NULL out, so that it alone would answer 0 for an hour that was not measured.
  accuracy_score            double precision GENERATED ALWAYS AS (
    CASE WHEN actual_value IS NOT NULL
      THEN greatest(0, 1 - abs(predicted_value - actual_value) / greatest(actual_value, 1)) END) STORED,
  error_percentage          double precision GENERATED ALWAYS AS (
    CASE WHEN actual_value > 0 THEN 100 * (predicted_value - actual_value) / actual_value END) STORED,
  quality                   jsonb NOT NULL,
  updated_at                timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT predictions_pkey PRIMARY KEY (sensor_id, prediction_type, prediction_time, target_time, model_version),
  CONSTRAINT intervals_hold_each_other_and_the_value CHECK (
    0 <= lower_95 AND lower_95 <= confidence_interval_lower AND confidence_interval_lower <= predicted_value
    AND predicted_value <= confidence_interval_upper AND confidence_interval_upper <= upper_95)
);
-- A year of forecasts is tens of millions of rows that arrive in the order of their origin: BRIN is a thousandth of a btree.
CREATE INDEX predictions_origin ON retail.predictions USING brin (prediction_time);
CREATE INDEX predictions_target ON retail.predictions (sensor_id, target_time);

CREATE TABLE retail.store_predictions (
  store_id                  uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  prediction_type           text NOT NULL CONSTRAINT prediction_type_is_known CHECK (prediction_type = 'traffic'),
  prediction_time           timestamptz NOT NULL,
  target_time               timestamptz NOT NULL,
  model_version             text NOT NULL,
  time_horizon_minutes      integer NOT NULL
    CONSTRAINT horizon_is_1_to_168_hours CHECK (time_horizon_minutes BETWEEN 60 AND 10080 AND time_horizon_minutes % 60 = 0),
  predicted_value           double precision NOT NULL
    CONSTRAINT predicted_value_is_a_count CHECK (predicted_value >= 0 AND predicted_value < 'Infinity'),
  confidence_interval_lower double precision NOT NULL,
  confidence_interval_upper double precision NOT NULL,
  lower_95                  double precision NOT NULL,
  upper_95                  double precision NOT NULL CONSTRAINT upper_95_is_a_number CHECK (upper_95 < 'Infinity'),
  confidence_score          double precision CONSTRAINT confidence_score_is_0_to_1 CHECK (confidence_score BETWEEN 0 AND 1),
  model_name                text NOT NULL
    CONSTRAINT model_name_is_known CHECK (model_name IN ('global_boosted_median', 'simple_rule')),
  method                    text NOT NULL
    CONSTRAINT method_is_known CHECK (method IN ('boosted_median', 'median_4', 'closed')),
  features_used             jsonb NOT NULL CONSTRAINT features_used_is_an_array CHECK (jsonb_typeof(features_used) = 'array'),
  actual_value              double precision
    CONSTRAINT actual_value_is_a_count CHECK (actual_value >= 0 AND actual_value < 'Infinity'),
  -- greatest() leaves NULL out, so that it alone would answer 0 for an hour that was not measured.
  accuracy_score            double precision GENERATED ALWAYS AS (
    CASE WHEN actual_value IS NOT NULL
      THEN greatest(0, 1 - abs(predicted_value - actual_value) / greatest(actual_value, 1)) END) STORED,
  error_percentage          double precision GENERATED ALWAYS AS (
    CASE WHEN actual_value > 0 THEN 100 * (predicted_value - actual_value) / actual_value END) STORED,
  quality                   jsonb NOT NULL,
  updated_at                timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT store_predictions_pkey PRIMARY KEY (store_id, prediction_type, prediction_time, target_time, model_version),
  CONSTRAINT intervals_hold_each_other_and_the_value CHECK (
    0 <= lower_95 AND lower_95 <= confidence_interval_lower AND confidence_interval_lower <= predicted_value
    AND predicted_value <= confidence_interval_upper AND confidence_interval_upper <= upper_95)
);
-- A year of forecasts is tens of millions of rows that arrive in the order of their origin: BRIN is a thousandth of a btree.
CREATE INDEX store_predictions_origin ON retail.store_predictions USING brin (prediction_time);
CREATE INDEX store_predictions_target ON retail.store_predictions (store_id, target_time);

CREATE TABLE retail.prediction_accuracy (
  scope       text NOT NULL CONSTRAINT accuracy_scope_is_known
    CHECK (scope IN ('sensor', 'store', 'sensors_pooled', 'sensors_median', 'stores_pooled', 'stores_median')),
  subject     text NOT NULL,
  date        date NOT NULL,
  horizons    text NOT NULL CONSTRAINT horizons_are_known
    CHECK (horizons IN ('1', '24', '72', '168', '1-6', '7-24', '25-72', '73-168')),
  sensor_id   uuid REFERENCES retail.sensor_metadata (id) ON DELETE CASCADE,
  store_id    uuid REFERENCES retail.stores (id) ON DELETE CASCADE,
  n           integer NOT NULL CONSTRAINT n_is_not_negative CHECK (n >= 0),
  mae         double precision CONSTRAINT mae_is_not_negative CHECK (mae >= 0 AND mae < 'Infinity'),
  wape        double precision CONSTRAINT wape_is_not_negative CHECK (wape >= 0 AND wape < 'Infinity'),
  bias        double precision CONSTRAINT bias_is_a_number CHECK (bias > '-Infinity' AND bias < 'Infinity'),
  skill       double precision CONSTRAINT skill_is_at_most_1 CHECK (skill > '-Infinity' AND skill <= 1),
  coverage_n  integer NOT NULL CONSTRAINT coverage_n_is_at_most_n CHECK (coverage_n BETWEEN 0 AND n),
  coverage_80 double precision CONSTRAINT coverage_80_is_0_to_1 CHECK (coverage_80 BETWEEN 0 AND 1),
  coverage_95 double precision CONSTRAINT coverage_95_is_0_to_1 CHECK (coverage_95 BETWEEN 0 AND 1),
  quality     jsonb NOT NULL,
  updated_at  timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT prediction_accuracy_pkey PRIMARY KEY (scope, subject, date, horizons),
  CONSTRAINT subject_is_the_camera_or_the_store CHECK (
    CASE scope WHEN 'sensor' THEN sensor_id IS NOT NULL AND subject = sensor_id::text AND store_id IS NULL
      WHEN 'store' THEN store_id IS NOT NULL AND subject = store_id::text AND sensor_id IS NULL
      ELSE subject = 'all' AND sensor_id IS NULL AND store_id IS NULL END)
);
CREATE INDEX prediction_accuracy_date ON retail.prediction_accuracy (date);
CREATE INDEX prediction_accuracy_sensor ON retail.prediction_accuracy (sensor_id);
CREATE INDEX prediction_accuracy_store ON retail.prediction_accuracy (store_id);

CREATE TABLE retail.staffing_plan (
  store_id           uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  plan_time          timestamptz NOT NULL,
  horizon            text NOT NULL
    CONSTRAINT plan_horizon_is_known CHECK (horizon IN ('immediate', 'next_hour', 'shift')),
  target_start       timestamptz NOT NULL,
  prediction_time    timestamptz CONSTRAINT forecast_is_not_younger_than_the_plan CHECK (prediction_time <= plan_time),
  expected_visitors  double precision,
  visitors_lower     double precision CONSTRAINT visitors_lower_is_not_negative CHECK (visitors_lower >= 0),
  visitors_upper     double precision CONSTRAINT visitors_upper_is_a_number CHECK (visitors_upper < 'Infinity'),
  star_target        double precision NOT NULL
    CONSTRAINT star_target_is_positive CHECK (star_target > 0 AND star_target < 'Infinity'),
  target_source      text NOT NULL CONSTRAINT target_source_is_known CHECK (target_source IN ('store', 'default_target')),
  staff_needed       integer CONSTRAINT staff_needed_is_not_negative CHECK (staff_needed >= 0),
  staff_needed_upper integer,
  staff_planned      double precision
    CONSTRAINT staff_planned_is_not_negative CHECK (staff_planned >= 0 AND staff_planned < 'Infinity'),
  actions            jsonb NOT NULL CONSTRAINT actions_is_an_array CHECK (jsonb_typeof(actions) = 'array'),
  quality            jsonb NOT NULL,
  updated_at         timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT staffing_plan_pkey PRIMARY KEY (store_id, plan_time, horizon, target_start),
  CONSTRAINT visitors_lie_in_their_interval CHECK (
    visitors_lower <= expected_visitors AND expected_visitors <= visitors_upper),
  CONSTRAINT more_visitors_need_no_fewer_staff CHECK (staff_needed <= staff_needed_upper)
);
CREATE INDEX staffing_plan_time ON retail.staffing_plan USING brin (plan_time);
