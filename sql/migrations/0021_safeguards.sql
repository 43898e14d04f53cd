-- What the database itself refuses: shares outside 0 to 1, changes of less than -100 %, numbers that are none, numbers and instants of
-- stores' own people that are none of a shop. How long alerts, inputs, models and changes of the fleet are kept. Names of tenants are
-- kept out of statistics. Functions and views stand in files of their own.

-- A comparison with NaN holds for `greater`: only the upper bound refuses it. All rules of a table come with one statement, for
-- which Postgres reads it once.
DO $$
DECLARE
  v_table text;
  v_rules text;
  v_numbers jsonb := '{
    "hourly_analytics": ["net_flow", "entry_to_checkout_rate", "heat_seconds_per_passage", "heat_variance", "max_heat_value"],
    "store_hourly": ["net_flow", "entry_to_checkout_rate", "heat_seconds_per_passage", "heat_variance", "max_heat_value"],
    "daily_analytics": ["net_flow", "overall_conversion_rate", "avg_queue_length", "max_queue_length", "estimated_avg_wait_minutes"],
    "store_daily": ["net_flow", "overall_conversion_rate", "avg_queue_length", "max_queue_length", "estimated_avg_wait_minutes"],
    "kpi_metrics": ["benchmark_value"],
    "collection_log": ["clock_offset_seconds"],
    "sensor_metadata": ["clock_offset_seconds", "heat_scale"],
    "stores": ["area_sqm"],
    "pathway_analytics": ["avg_transition_time_seconds"],
    "camera_flow_matrix": ["avg_transition_time_seconds", "conversion_impact"],
    "queue_analytics": ["actual_wait_time", "estimated_wait_time_minutes", "wait_p90_minutes", "lanes", "measured_queue_length",
      "offered_load", "predicted_queue_length", "queue_velocity", "confidence_lower", "confidence_upper"],
    "queue_performance_daily": ["avg_queue_length", "avg_service_rate", "avg_wait_time", "staff_efficiency_score",
      "total_customers_served", "total_queue_time_minutes", "wait_time_90th_percentile"],
    "staffing_plan": ["expected_visitors", "visitors_lower"],
    "alerts_generated": ["threshold_value"]}';
BEGIN
  FOR v_table, v_rules IN
    WITH rules (of_table, of_column, says, rule) AS (
      SELECT t.key, c.value, 'is_a_number', $rule$%1$I > '-Infinity' AND %1$I < 'Infinity'$rule$
      FROM jsonb_each(v_numbers) AS t, jsonb_array_elements_text(t.value) AS c
      UNION ALL
      SELECT t.name, c.name, 'is_at_least_minus_100', $rule$%1$I >= -100 AND %1$I < 'Infinity'$rule$
      FROM unnest(ARRAY['daily_analytics', 'store_daily']) AS t (name),
        unnest(ARRAY['dow_avg_comparison', 'wow_change_percent', 'mom_change_percent', 'yoy_change_percent']) AS c (name)
      UNION ALL
      SELECT t.name, c.name, c.says, c.rule
      FROM unnest(ARRAY['predictions', 'store_predictions']) AS t (name),
        (VALUES
          ('accuracy_score', 'is_a_share', '%1$I BETWEEN 0 AND 1'),
          -- As the column computes it, -100 * 0.69 / 0.69 lies a hair under -100: compared are the 15 digits that a numeric takes.
          ('error_percentage', 'is_at_least_minus_100', $rule$%1$I::numeric >= -100 AND %1$I < 'Infinity'$rule$)
        ) AS c (name, says, rule)
    )
    SELECT of_table,
      string_agg(format('ADD CONSTRAINT %I CHECK (%s)', of_column || '_' || says, format(rule, of_column)), ', ' ORDER BY of_column)
    FROM rules
    GROUP BY of_table
    ORDER BY of_table
  LOOP
    EXECUTE format('ALTER TABLE retail.%I %s', v_table, v_rules);
  END LOOP;
END
$$;

-- Eight minutes and the five between two looks at the rules: a dead camera is an alert within a quarter of an hour.
UPDATE retail.alert_rules
SET warning_threshold = 8, description = 'A camera that is asked has not answered for eight minutes.'
WHERE rule_name = 'camera_offline' AND store_id IS NULL AND warning_threshold = 10;

-- What a store's own people write goes into runs about all stores: a value that no run can reckon with would stop those of others.
ALTER TABLE retail.pos_transactions
  ADD CONSTRAINT hour_start_is_in_the_years_2000_to_2100 CHECK (hour_start >= '1999-12-31Z' AND hour_start < '2101-01-02Z'),
  ADD CONSTRAINT updated_at_is_in_the_years_2000_to_2100 CHECK (updated_at >= '1999-12-31Z' AND updated_at < '2101-01-02Z'),
  ADD CONSTRAINT transactions_are_under_a_million CHECK (transactions < 1000000),
  ADD CONSTRAINT sales_have_at_most_12_digits CHECK (sales < 1000000000000),
  ADD CONSTRAINT units_have_at_most_12_digits CHECK (units < 1000000000000);
ALTER TABLE retail.staff_hours
  ADD CONSTRAINT hour_start_is_in_the_years_2000_to_2100 CHECK (hour_start >= '1999-12-31Z' AND hour_start < '2101-01-02Z'),
  ADD CONSTRAINT updated_at_is_in_the_years_2000_to_2100 CHECK (updated_at >= '1999-12-31Z' AND updated_at < '2101-01-02Z'),
  ADD CONSTRAINT staff_has_at_most_12_digits CHECK (staff < 1000000000000),
  ADD CONSTRAINT lanes_open_have_at_most_12_digits CHECK (lanes_open < 1000000000000),
  -- What is divided by less is no number any more.
  ADD CONSTRAINT staff_is_0_or_at_least_a_billionth CHECK (staff = 0 OR staff >= 0.000000001),
  ADD CONSTRAINT lanes_open_are_0_or_at_least_a_billionth CHECK (lanes_open = 0 OR lanes_open >= 0.000000001);
ALTER TABLE retail.weather_hourly
  ADD CONSTRAINT hour_start_is_in_the_years_2000_to_2100 CHECK (hour_start >= '1999-12-31Z' AND hour_start < '2101-01-02Z'),
  ADD CONSTRAINT updated_at_is_in_the_years_2000_to_2100 CHECK (updated_at >= '1999-12-31Z' AND updated_at < '2101-01-02Z');
ALTER TABLE retail.queue_ground_truth
  ADD CONSTRAINT hour_start_is_in_the_years_2000_to_2100 CHECK (hour_start >= '1999-12-31Z' AND hour_start < '2101-01-02Z'),
  ADD CONSTRAINT updated_at_is_in_the_years_2000_to_2100 CHECK (updated_at >= '1999-12-31Z' AND updated_at < '2101-01-02Z'),
  ADD CONSTRAINT queue_length_has_at_most_12_digits CHECK (actual_queue_length < 1000000000000),
  ADD CONSTRAINT wait_has_at_most_12_digits CHECK (actual_wait_minutes < 1000000000000);
ALTER TABLE retail.store_subdivisions
  ADD CONSTRAINT updated_at_is_in_the_years_2000_to_2100 CHECK (updated_at >= '1999-12-31Z' AND updated_at < '2101-01-02Z');
ALTER TABLE retail.store_service
  ADD CONSTRAINT updated_at_is_in_the_years_2000_to_2100 CHECK (updated_at >= '1999-12-31Z' AND updated_at < '2101-01-02Z'),
  ADD CONSTRAINT service_rate_is_a_thousandth_to_a_thousand CHECK (service_rate_per_minute BETWEEN 0.001 AND 1000),
  ADD CONSTRAINT target_minutes_are_at_most_a_day CHECK (target_minutes <= 1440),
  ADD CONSTRAINT star_target_is_a_thousandth_to_a_million CHECK (star_target BETWEEN 0.001 AND 1000000);

INSERT INTO retail.retention_policies (table_name, action, days_to_keep, description) VALUES
  ('alerts_generated', 'archive', 1095, 'Alerts, from their end, with what people did about them; an open one never goes.'),
  ('pos_transactions', 'archive', 1825, 'What tills took, which conversion is computed anew from.'),
  ('staff_hours', 'archive', 1825, 'Who worked, which queues are computed anew from.'),
  ('weather_hourly', 'archive', 1825, 'Weather, which analysts compare years by.'),
  ('queue_ground_truth', 'archive', 1825, 'Counted queues: rare, and worth the work of counting them.'),
  ('prediction_model', 'drop', 400, 'Models by the week, of which the newest is in use and never goes.'),
  ('fleet_changes', 'archive', 1825, 'Who changed what of the fleet.')
-- What an owner has decided of a table himself stands.
ON CONFLICT (table_name) DO NOTHING;

-- Estimates of rows are made of every tenant's values, and EXPLAIN tells them to everybody: of a name, or a sentence with names in it,
-- they would tell which others there are, by halving. Without statistics they are the same for each.
ALTER TABLE retail.organizations ALTER organization_name SET STATISTICS 0;
ALTER TABLE retail.stores ALTER store_name SET STATISTICS 0;
ALTER TABLE retail.sensor_metadata
  ALTER sensor_name SET STATISTICS 0, ALTER sensor_ip SET STATISTICS 0, ALTER location SET STATISTICS 0;
ALTER TABLE retail.camera_groups ALTER group_name SET STATISTICS 0;
ALTER TABLE retail.camera_locations ALTER building_name SET STATISTICS 0, ALTER zone_name SET STATISTICS 0;
ALTER TABLE retail.counting_lines ALTER line_name SET STATISTICS 0;
ALTER TABLE retail.region_configurations ALTER region_name SET STATISTICS 0;
ALTER TABLE retail.fleet_changes
  ALTER organization_name SET STATISTICS 0, ALTER name SET STATISTICS 0,
  ALTER changed_by SET STATISTICS 0, ALTER command SET STATISTICS 0;
ALTER TABLE retail.user_sensor_access ALTER user_id SET STATISTICS 0, ALTER granted_by SET STATISTICS 0;
ALTER TABLE retail.queue_ground_truth ALTER counted_by SET STATISTICS 0;
ALTER TABLE retail.alerts_generated
  ALTER title SET STATISTICS 0, ALTER message SET STATISTICS 0,
  ALTER acknowledged_by SET STATISTICS 0, ALTER escalated_to SET STATISTICS 0;
ALTER TABLE retail.alert_routes ALTER route_name SET STATISTICS 0;
ALTER TABLE retail.notifications ALTER title SET STATISTICS 0, ALTER body SET STATISTICS 0;
DO $$
BEGIN
  -- Those that stand stay when the table is analyzed again.
  DELETE FROM pg_catalog.pg_statistic AS s
  USING pg_catalog.pg_attribute AS a
  WHERE a.attrelid = s.starelid AND a.attnum = s.staattnum AND a.attstattarget = 0
    AND a.attrelid IN (SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.relnamespace = 'retail'::regnamespace);
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'Statistics of names stay until an administrator deletes them: this role may not.';
END
$$;

DO $$
DECLARE
  v_month record;
BEGIN
  FOR v_month IN
    SELECT i.inhrelid::regclass AS name, c.relname AS of_table
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhparent
    WHERE c.relnamespace = 'retail'::regnamespace AND c.relkind = 'p'
  LOOP
    EXECUTE format('COMMENT ON TABLE %s IS %L', v_month.name,
      format('One month (UTC) of %s, which is the table to ask: nobody is granted a month by itself.', v_month.of_table));
  END LOOP;
END
$$;
COMMENT ON TABLE public.retail_alembic_version IS 'The revision of schema retail.';
