DROP INDEX retail.staff_hours_updated;
DROP INDEX retail.pos_transactions_updated;
DROP INDEX retail.heatmap_temporal_raw_updated;
DROP INDEX retail.regional_counting_raw_updated;
DROP INDEX retail.people_counting_raw_updated;
ALTER TABLE retail.camera_health
  DROP CONSTRAINT a_camera_is_left_alone_while_its_breaker_is_not_closed,
  DROP COLUMN left_alone_since,
  DROP COLUMN breaker_state;
DROP TRIGGER forget_breaker ON retail.sensor_metadata;
DROP TABLE retail.camera_breakers;
DROP FUNCTION retail.forget_breaker();
