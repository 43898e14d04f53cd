-- The remaining columns of the hourly and daily figures: regions, conversion, queues and scores.

ALTER TABLE retail.hourly_analytics
  ADD COLUMN region_avg_occupancy jsonb,
  ADD COLUMN region_max_occupancy jsonb,
  ADD COLUMN region_utilization jsonb,
  ADD COLUMN entry_to_checkout_rate double precision CONSTRAINT entry_to_checkout_rate_is_not_negative CHECK (entry_to_checkout_rate >= 0),
  ADD COLUMN zone_conversion_rates jsonb,
  ADD COLUMN max_heat_value double precision,
  ADD COLUMN heat_variance double precision,
  ADD COLUMN traffic_efficiency_score double precision CONSTRAINT traffic_efficiency_score_is_0_to_100 CHECK (traffic_efficiency_score BETWEEN 0 AND 100),
  ADD COLUMN queue_performance_score double precision CONSTRAINT queue_performance_score_is_0_to_100 CHECK (queue_performance_score BETWEEN 0 AND 100);

ALTER TABLE retail.store_hourly
  ADD COLUMN region_avg_occupancy jsonb,
  ADD COLUMN region_max_occupancy jsonb,
  ADD COLUMN region_utilization jsonb,
  ADD COLUMN entry_to_checkout_rate double precision CONSTRAINT entry_to_checkout_rate_is_not_negative CHECK (entry_to_checkout_rate >= 0),
  ADD COLUMN zone_conversion_rates jsonb,
  ADD COLUMN max_heat_value double precision,
  ADD COLUMN heat_variance double precision,
  ADD COLUMN traffic_efficiency_score double precision CONSTRAINT traffic_efficiency_score_is_0_to_100 CHECK (traffic_efficiency_score BETWEEN 0 AND 100),
  ADD COLUMN queue_performance_score double precision CONSTRAINT queue_performance_score_is_0_to_100 CHECK (queue_performance_score BETWEEN 0 AND 100);

ALTER TABLE retail.daily_analytics
  ADD COLUMN overall_conversion_rate double precision CONSTRAINT overall_conversion_rate_is_not_negative CHECK (overall_conversion_rate >= 0),
  ADD COLUMN bounce_rate double precision CONSTRAINT bounce_rate_is_a_share CHECK (bounce_rate BETWEEN 0 AND 1),
  ADD COLUMN avg_queue_length double precision CONSTRAINT avg_queue_length_is_not_negative CHECK (avg_queue_length >= 0),
  ADD COLUMN max_queue_length double precision CONSTRAINT max_queue_length_is_not_negative CHECK (max_queue_length >= 0),
  ADD COLUMN queue_peak_time time,
  ADD COLUMN estimated_avg_wait_minutes double precision CONSTRAINT estimated_avg_wait_minutes_is_not_negative CHECK (estimated_avg_wait_minutes >= 0),
  ADD COLUMN overall_performance_score double precision CONSTRAINT overall_performance_score_is_0_to_100 CHECK (overall_performance_score BETWEEN 0 AND 100);

ALTER TABLE retail.store_daily
  ADD COLUMN overall_conversion_rate double precision CONSTRAINT overall_conversion_rate_is_not_negative CHECK (overall_conversion_rate >= 0),
  ADD COLUMN bounce_rate double precision CONSTRAINT bounce_rate_is_a_share CHECK (bounce_rate BETWEEN 0 AND 1),
  ADD COLUMN avg_queue_length double precision CONSTRAINT avg_queue_length_is_not_negative CHECK (avg_queue_length >= 0),
  ADD COLUMN max_queue_length double precision CONSTRAINT max_queue_length_is_not_negative CHECK (max_queue_length >= 0),
  ADD COLUMN queue_peak_time time,
  ADD COLUMN estimated_avg_wait_minutes double precision CONSTRAINT estimated_avg_wait_minutes_is_not_negative CHECK (estimated_avg_wait_minutes >= 0),
  ADD COLUMN overall_performance_score double precision CONSTRAINT overall_performance_score_is_0_to_100 CHECK (overall_performance_score BETWEEN 0 AND 100);
