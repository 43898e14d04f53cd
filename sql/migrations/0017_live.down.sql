DROP VIEW retail.mv_realtime_dashboard, retail.mv_historical_comparison, retail.historical_analytics, retail.analytics_alerts,
  retail.camera_completeness, retail.table_sizes;
DROP FUNCTION retail.calculate_current_occupancy, retail.estimate_queue_metrics, retail.check_camera_health,
  retail.detect_anomalies, retail.lanes_needed, retail.lanes_advice, retail.erlang_c, retail.count_surprise,
  retail.incomplete_beta, retail.log_gamma, retail.local_instant;

ALTER TABLE retail.stores
  DROP CONSTRAINT store_timezone_is_an_iana_zone, DROP CONSTRAINT opening_hours_are_spans_that_do_not_overlap;
ALTER TABLE retail.sensor_metadata DROP CONSTRAINT camera_timezone_is_an_iana_zone;
DROP FUNCTION retail.is_time_zone, retail.opening_hours_are_sound;
ALTER TABLE retail.collection_log
  DROP CONSTRAINT http_status_is_100_to_599, DROP CONSTRAINT row_count_is_not_negative,
  DROP CONSTRAINT rejected_count_is_not_negative, DROP CONSTRAINT answer_latency_is_not_negative,
  DROP CONSTRAINT attempts_is_not_negative;
DO $$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY ARRAY['hourly_analytics', 'store_hourly'] LOOP
    EXECUTE format(
      'ALTER TABLE retail.%I DROP CONSTRAINT visitors_is_not_negative, DROP CONSTRAINT avg_heat_value_is_not_negative', v_table);
  END LOOP;
  FOREACH v_table IN ARRAY ARRAY['daily_analytics', 'store_daily'] LOOP
    EXECUTE format(
      'ALTER TABLE retail.%I DROP CONSTRAINT total_visitors_is_not_negative, DROP CONSTRAINT peak_hour_traffic_is_not_negative,
        DROP CONSTRAINT off_peak_is_not_above_the_peak, DROP CONSTRAINT avg_dwell_time_is_not_negative', v_table);
  END LOOP;
  FOREACH v_table IN ARRAY ARRAY['hourly_analytics', 'store_hourly', 'daily_analytics', 'store_daily'] LOOP
    EXECUTE format(
      'ALTER TABLE retail.%I DROP CONSTRAINT total_entries_is_not_negative, DROP CONSTRAINT total_exits_is_not_negative,
        DROP CONSTRAINT passersby_is_not_negative, DROP CONSTRAINT traffic_is_not_negative,
        DROP CONSTRAINT capture_rate_is_not_negative, DROP CONSTRAINT avg_occupancy_is_not_negative,
        DROP CONSTRAINT peak_occupancy_is_not_negative, DROP CONSTRAINT utilization_is_not_negative,
        DROP CONSTRAINT quality_is_an_object', v_table);
  END LOOP;
END
$$;
ALTER TABLE retail.queue_analytics DROP CONSTRAINT queue_transactions_are_not_negative;
ALTER TABLE retail.queue_performance_daily
  DROP CONSTRAINT max_queue_length_is_not_negative, DROP CONSTRAINT max_wait_time_is_not_negative;
