-- What the database itself refuses: zones that are none, opening hours that overlap, counts and shares outside their range. The live
-- functions and views stand in sql/functions/ and sql/views/.

ALTER TABLE retail.stores
  ADD CONSTRAINT store_timezone_is_an_iana_zone CHECK (retail.is_time_zone(timezone)),
  ADD CONSTRAINT opening_hours_are_spans_that_do_not_overlap CHECK (retail.opening_hours_are_sound(opening_hours));
ALTER TABLE retail.sensor_metadata
  ADD CONSTRAINT camera_timezone_is_an_iana_zone CHECK (retail.is_time_zone(timezone));

ALTER TABLE retail.collection_log
  ADD CONSTRAINT http_status_is_100_to_599 CHECK (http_status BETWEEN 100 AND 599),
  ADD CONSTRAINT row_count_is_not_negative CHECK (row_count >= 0),
  ADD CONSTRAINT rejected_count_is_not_negative CHECK (rejected_count >= 0),
  ADD CONSTRAINT answer_latency_is_not_negative CHECK (latency_ms >= 0 AND latency_ms < 'Infinity'),
  ADD CONSTRAINT attempts_is_not_negative CHECK (attempts >= 0);

-- A comparison with NaN holds for `greater`: only the upper bound refuses it.
DO $$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['hourly_analytics', 'store_hourly'] LOOP
    EXECUTE format(
      'ALTER TABLE retail.%I
        ADD CONSTRAINT visitors_is_not_negative CHECK (visitors >= 0 AND visitors < ''Infinity''),
        ADD CONSTRAINT avg_heat_value_is_not_negative CHECK (avg_heat_value >= 0 AND avg_heat_value < ''Infinity'')', v_table);
  END LOOP;
  FOREACH v_table IN ARRAY ARRAY['daily_analytics', 'store_daily'] LOOP
    EXECUTE format(
      'ALTER TABLE retail.%I
        ADD CONSTRAINT total_visitors_is_not_negative CHECK (total_visitors >= 0 AND total_visitors < ''Infinity''),
        ADD CONSTRAINT peak_hour_traffic_is_not_negative CHECK (peak_hour_traffic >= 0 AND peak_hour_traffic < ''Infinity''),
        ADD CONSTRAINT off_peak_is_not_above_the_peak CHECK (off_peak_traffic BETWEEN 0 AND peak_hour_traffic),
        ADD CONSTRAINT avg_dwell_time_is_not_negative
          CHECK (avg_dwell_time_minutes >= 0 AND avg_dwell_time_minutes < ''Infinity'')', v_table);
  END LOOP;
  FOREACH v_table IN ARRAY ARRAY['hourly_analytics', 'store_hourly', 'daily_analytics', 'store_daily'] LOOP
    EXECUTE format(
      'ALTER TABLE retail.%I
        ADD CONSTRAINT total_entries_is_not_negative CHECK (total_entries >= 0 AND total_entries < ''Infinity''),
        ADD CONSTRAINT total_exits_is_not_negative CHECK (total_exits >= 0 AND total_exits < ''Infinity''),
        ADD CONSTRAINT passersby_is_not_negative CHECK (passersby >= 0 AND passersby < ''Infinity''),
        ADD CONSTRAINT traffic_is_not_negative CHECK (traffic >= 0 AND traffic < ''Infinity''),
        ADD CONSTRAINT capture_rate_is_not_negative CHECK (capture_rate_percent >= 0 AND capture_rate_percent < ''Infinity''),
        ADD CONSTRAINT avg_occupancy_is_not_negative CHECK (avg_occupancy >= 0 AND avg_occupancy < ''Infinity''),
        ADD CONSTRAINT peak_occupancy_is_not_negative CHECK (peak_occupancy >= 0 AND peak_occupancy < ''Infinity''),
        ADD CONSTRAINT utilization_is_not_negative CHECK (utilization >= 0 AND utilization < ''Infinity''),
        ADD CONSTRAINT quality_is_an_object CHECK (jsonb_typeof(quality) = ''object'')', v_table);
  END LOOP;
END
$$;

ALTER TABLE retail.queue_analytics
  ADD CONSTRAINT queue_transactions_are_not_negative CHECK (transactions >= 0 AND transactions < 'Infinity');
ALTER TABLE retail.queue_performance_daily
  ADD CONSTRAINT max_queue_length_is_not_negative CHECK (max_queue_length >= 0 AND max_queue_length < 'Infinity'),
  ADD CONSTRAINT max_wait_time_is_not_negative CHECK (max_wait_time >= 0 AND max_wait_time < 'Infinity');
