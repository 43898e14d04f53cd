DROP TABLE retail.fleet_changes, retail.camera_group_assignments, retail.camera_groups, retail.camera_locations;
DROP TRIGGER touch ON retail.sensor_metadata;
CREATE TRIGGER touch BEFORE UPDATE OF sensor_name, store_id, vendor, sensor_ip, sensor_port, timezone, location, username,
    password_reference, endpoints, heat_scale, retention_days, installed_on, is_active, capabilities
  ON retail.sensor_metadata
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();
ALTER TABLE retail.sensor_metadata DROP COLUMN tags;
