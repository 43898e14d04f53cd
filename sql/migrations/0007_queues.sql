-- The tills of stores, and their queues by hour and by local day.

CREATE TABLE retail.store_service (
  store_id                uuid PRIMARY KEY REFERENCES retail.stores (id) ON DELETE CASCADE,
  lanes                   integer CONSTRAINT lanes_of_a_store_are_positive CHECK (lanes > 0),
  service_rate_per_minute double precision NOT NULL
    CONSTRAINT service_rate_is_positive CHECK (service_rate_per_minute > 0 AND service_rate_per_minute < 'Infinity'),
  target_minutes          double precision NOT NULL
    CONSTRAINT target_minutes_is_not_negative CHECK (target_minutes >= 0 AND target_minutes < 'Infinity'),
  target_share            double precision NOT NULL
    CONSTRAINT target_share_is_between_0_and_1 CHECK (target_share > 0 AND target_share < 1),
  star_target             double precision
    CONSTRAINT star_target_is_positive CHECK (star_target > 0 AND star_target < 'Infinity'),
  updated_at              timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER touch BEFORE UPDATE ON retail.store_service
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();

CREATE TABLE retail.queue_analytics (
  store_id                    uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  hour_start                  timestamptz NOT NULL,
  analysis_type               text NOT NULL
    CONSTRAINT queue_analysis_type_is_known CHECK (analysis_type IN ('model', 'hybrid')),
  arrivals                    double precision
    CONSTRAINT arrivals_are_not_negative CHECK (arrivals >= 0 AND arrivals < 'Infinity'),
  arrivals_source             text
    CONSTRAINT arrivals_source_is_known CHECK (arrivals_source IN ('transactions', 'detections_over_60_s')),
  transactions                double precision,
  lanes                       double precision CONSTRAINT open_lanes_are_not_negative CHECK (lanes >= 0),
  lanes_source                text CONSTRAINT lanes_source_is_known CHECK (lanes_source IN ('roster', 'best_case')),
  offered_load                double precision CONSTRAINT offered_load_is_not_negative CHECK (offered_load >= 0),
  is_overloaded               boolean NOT NULL,
  measured_queue_length       double precision
    CONSTRAINT measured_queue_length_is_not_negative CHECK (measured_queue_length >= 0),
  predicted_queue_length      double precision
    CONSTRAINT predicted_queue_length_is_not_negative CHECK (predicted_queue_length >= 0),
  confidence_lower            double precision,
  confidence_upper            double precision,
  prediction_confidence       double precision
    CONSTRAINT prediction_confidence_is_a_share CHECK (prediction_confidence BETWEEN 0 AND 1),
  queue_density               double precision CONSTRAINT queue_density_is_a_share CHECK (queue_density BETWEEN 0 AND 1),
  organization_score          double precision
    CONSTRAINT organization_score_is_a_share CHECK (organization_score BETWEEN 0 AND 1),
  movement_detected           boolean,
  queue_velocity              double precision CONSTRAINT queue_velocity_is_not_negative CHECK (queue_velocity >= 0),
  wait_probability            double precision
    CONSTRAINT wait_probability_is_a_share CHECK (wait_probability BETWEEN 0 AND 1),
  estimated_wait_time_minutes double precision
    CONSTRAINT estimated_wait_is_not_negative CHECK (estimated_wait_time_minutes >= 0),
  wait_p90_minutes            double precision CONSTRAINT wait_p90_is_not_negative CHECK (wait_p90_minutes >= 0),
  share_within_target         double precision
    CONSTRAINT share_within_target_is_a_share CHECK (share_within_target BETWEEN 0 AND 1),
  wait_time_confidence        double precision
    CONSTRAINT wait_time_confidence_is_a_share CHECK (wait_time_confidence BETWEEN 0 AND 1),
  abandonment_risk_score      double precision
    CONSTRAINT abandonment_risk_is_a_share CHECK (abandonment_risk_score BETWEEN 0 AND 1),
  congestion_level            text
    CONSTRAINT congestion_level_is_known CHECK (congestion_level IN ('low', 'medium', 'high', 'critical')),
  recommended_open_lanes      integer CONSTRAINT recommended_open_lanes_is_not_negative CHECK (recommended_open_lanes >= 0),
  recommended_staff           integer CONSTRAINT recommended_staff_is_not_negative CHECK (recommended_staff >= 0),
  suggested_actions           jsonb
    CONSTRAINT suggested_actions_is_an_array CHECK (jsonb_typeof(suggested_actions) = 'array'),
  queue_performance_score     double precision
    CONSTRAINT queue_performance_score_is_0_to_100 CHECK (queue_performance_score BETWEEN 0 AND 100),
  frame_analyzed              boolean NOT NULL,
  people_detected             integer,
  detection_confidence        double precision
    CONSTRAINT detection_confidence_is_a_share CHECK (detection_confidence BETWEEN 0 AND 1),
  actual_wait_time            double precision CONSTRAINT actual_wait_is_not_negative CHECK (actual_wait_time >= 0),
  prediction_accuracy         double precision
    CONSTRAINT prediction_accuracy_is_a_share CHECK (prediction_accuracy BETWEEN 0 AND 1),
  quality                     jsonb NOT NULL
    CONSTRAINT queue_quality_is_an_object CHECK (jsonb_typeof(quality) = 'object'),
  updated_at                  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (store_id, hour_start),
  CONSTRAINT arrivals_have_a_source CHECK ((arrivals IS NULL) = (arrivals_source IS NULL)),
  CONSTRAINT lanes_have_a_source CHECK ((lanes IS NULL) = (lanes_source IS NULL)),
  CONSTRAINT an_overload_has_no_wait CHECK (NOT is_overloaded OR estimated_wait_time_minutes IS NULL),
  CONSTRAINT an_interval_holds_its_queue_length CHECK (predicted_queue_length BETWEEN confidence_lower AND confidence_upper),
  CONSTRAINT an_interval_is_of_the_hybrid_model CHECK (analysis_type = 'hybrid' OR confidence_lower IS NULL)
);
CREATE INDEX queue_analytics_hour ON retail.queue_analytics USING brin (hour_start);

CREATE TABLE retail.queue_performance_daily (
  store_id                  uuid NOT NULL REFERENCES retail.stores (id) ON DELETE CASCADE,
  date                      date NOT NULL,
  avg_queue_length          double precision CONSTRAINT avg_queue_length_is_not_negative CHECK (avg_queue_length >= 0),
  max_queue_length          double precision,
  queue_peak_time           time,
  total_queue_time_minutes  double precision
    CONSTRAINT total_queue_time_is_not_negative CHECK (total_queue_time_minutes >= 0),
  avg_wait_time             double precision CONSTRAINT avg_wait_time_is_not_negative CHECK (avg_wait_time >= 0),
  max_wait_time             double precision,
  wait_time_90th_percentile double precision
    CONSTRAINT daily_wait_p90_is_not_negative CHECK (wait_time_90th_percentile >= 0),
  avg_service_rate          double precision CONSTRAINT avg_service_rate_is_not_negative CHECK (avg_service_rate >= 0),
  total_customers_served    double precision
    CONSTRAINT total_customers_served_is_not_negative CHECK (total_customers_served >= 0),
  abandonment_count         integer CONSTRAINT abandonment_count_is_not_negative CHECK (abandonment_count >= 0),
  abandonment_rate          double precision
    CONSTRAINT abandonment_rate_is_a_share CHECK (abandonment_rate BETWEEN 0 AND 1),
  queue_efficiency_score    double precision
    CONSTRAINT queue_efficiency_score_is_0_to_100 CHECK (queue_efficiency_score BETWEEN 0 AND 100),
  staff_efficiency_score    double precision
    CONSTRAINT staff_efficiency_score_is_not_negative CHECK (staff_efficiency_score >= 0),
  recommendations_generated integer NOT NULL
    CONSTRAINT recommendations_are_not_negative CHECK (recommendations_generated >= 0),
  recommendations_followed  integer,
  overloaded_hours          integer NOT NULL CONSTRAINT overloaded_hours_fit_a_day CHECK (overloaded_hours BETWEEN 0 AND 25),
  data_completeness         double precision
    CONSTRAINT queue_data_completeness_is_a_share CHECK (data_completeness BETWEEN 0 AND 1),
  quality                   jsonb NOT NULL
    CONSTRAINT queue_day_quality_is_an_object CHECK (jsonb_typeof(quality) = 'object'),
  updated_at                timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (store_id, date)
);
CREATE INDEX queue_performance_daily_date ON retail.queue_performance_daily (date);
