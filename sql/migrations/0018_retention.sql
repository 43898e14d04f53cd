-- How long rows are kept, and where they go.

CREATE TABLE retail.retention_policies (
  table_name     text NOT NULL,
  action         text NOT NULL CONSTRAINT retention_action_is_known CHECK (action IN ('archive', 'drop', 'keep')),
  days_to_keep   integer CONSTRAINT days_to_keep_is_1_to_36500 CHECK (days_to_keep BETWEEN 1 AND 36500),
  restored_until timestamptz,
  description    text NOT NULL CONSTRAINT a_policy_says_why CHECK (description <> ''),
  updated_at     timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT retention_policies_pkey PRIMARY KEY (table_name),
  CONSTRAINT what_is_kept_has_no_days_and_all_else_has CHECK ((action = 'keep') = (days_to_keep IS NULL))
);

CREATE TRIGGER touch BEFORE UPDATE ON retail.retention_policies
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION retail.touch_updated_at();

INSERT INTO retail.retention_policies (table_name, action, days_to_keep, description) VALUES
  ('people_counting_raw', 'archive', 730, 'What cameras counted: years of hours, which figures are computed anew from.'),
  ('regional_counting_raw', 'archive', 730, 'What cameras saw in their regions, as people_counting_raw.'),
  ('heatmap_temporal_raw', 'archive', 730, 'Heat by the hour, as people_counting_raw.'),
  ('region_stays', 'archive', 730, 'Stays in regions by the day, which figures are computed anew from.'),
  ('heatmap_spatial_raw', 'archive', 730, 'Heat of the view by the day: the largest rows of all.'),
  ('vca_alarm_status', 'archive', 90, 'Alarm readings: 1 440 rows a camera and day, of which the newest week is read.'),
  ('collection_log', 'archive', 400, 'What became of asking: a year to look back on the cameras'' health.'),
  ('raw_revisions', 'archive', 400, 'Readings set aside: as long as one may still ask why.'),
  ('rejected_payloads', 'archive', 180, 'What could not be read: half a year to mend the parser and replay it.'),
  ('realtime_analytics', 'drop', 7, 'Minute rows: half a million a camera and year, and hours and days say the same.'),
  ('predictions', 'drop', 90, 'Single forecasts of cameras: 672 rows a camera and day; how good they were stays in prediction_accuracy.'),
  ('store_predictions', 'drop', 90, 'Single forecasts of stores, as predictions.'),
  ('staffing_plan', 'drop', 90, 'Plans, of which only the newest is followed.'),
  ('notifications', 'drop', 90, 'Messages that were sent or dropped; the alerts that they told of stay.'),
  ('hourly_analytics', 'keep', NULL, 'Hours of cameras: analysts compare years.'),
  ('store_hourly', 'keep', NULL, 'Hours of stores: analysts compare years.'),
  ('daily_analytics', 'keep', NULL, 'Days of cameras: few rows, compared over years.'),
  ('store_daily', 'keep', NULL, 'Days of stores: few rows, compared over years.'),
  ('kpi_metrics', 'keep', NULL, 'Key figures by day: compared over years.'),
  ('imputed_hours', 'keep', NULL, 'How each estimated hour was estimated: as long as the hour stands.'),
  ('regional_analytics', 'keep', NULL, 'Regions by hour and day: compared over years.'),
  ('pathway_analytics', 'keep', NULL, 'Modelled flows between regions by the day.'),
  ('camera_flow_matrix', 'keep', NULL, 'Modelled flows between cameras by the day.'),
  ('queue_analytics', 'keep', NULL, 'Queues by the hour: compared over years.'),
  ('queue_performance_daily', 'keep', NULL, 'Queues by the day: few rows.'),
  ('anomalies_detected', 'keep', NULL, 'What stood out, with what people said of it.'),
  ('prediction_accuracy', 'keep', NULL, 'How good forecasts were, by the day: few rows.');
