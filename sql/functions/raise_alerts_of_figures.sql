-- After a statement on store_hourly, realtime_analytics or queue_analytics: raises and keeps the alerts of the stores whose new rows
-- are recent and over a threshold; history is passed over at the cost of one look at its rows. What goes wrong here is a warning:
-- the statement stands, and the next run of the asset alerts_generated evaluates the same rows.
-- It runs with its owner's rights, for whoever may write figures may not write alerts.

CREATE OR REPLACE FUNCTION retail.raise_alerts_of_figures() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
  v_metrics text[] := CASE TG_TABLE_NAME WHEN 'queue_analytics'
    THEN ARRAY['queue_wait_minutes', 'queue_length', 'abandonment_risk_percent'] ELSE ARRAY['utilization_percent'] END;
  v_oldest  timestamptz;
  v_stores  uuid[];
BEGIN
  SELECT now() - max(r.recency_minutes) * interval '1 minute' INTO v_oldest
  FROM retail.alert_rules AS r
  WHERE r.is_enabled AND r.metric = ANY (v_metrics);
  IF v_oldest IS NULL THEN
    RETURN NULL;
  END IF;
  CASE TG_TABLE_NAME
    WHEN 'store_hourly' THEN
      SELECT array_agg(DISTINCT n.store_id) INTO v_stores
      FROM written AS n
      WHERE n.hour_start <= now() AND n.hour_start >= v_oldest - interval '1 hour' AND n.is_open AND EXISTS (
        SELECT FROM retail.alert_rules AS r
        WHERE r.is_enabled AND r.metric = 'utilization_percent' AND (r.store_id IS NULL OR r.store_id = n.store_id)
          AND retail.raise_alerts_severity(r.comparison, r.warning_threshold, r.critical_threshold, 100 * n.utilization)
            IS NOT NULL);
    WHEN 'realtime_analytics' THEN
      SELECT array_agg(DISTINCT m.store_id) INTO v_stores
      FROM written AS n
      JOIN retail.sensor_metadata AS m ON m.id = n.sensor_id
      WHERE n.period_end <= now() AND n.period_end >= v_oldest AND n.period_start IS NOT NULL AND EXISTS (
        SELECT FROM retail.alert_rules AS r
        WHERE r.is_enabled AND r.metric = 'utilization_percent' AND (r.store_id IS NULL OR r.store_id = m.store_id)
          AND retail.raise_alerts_severity(
            r.comparison, r.warning_threshold, r.critical_threshold, n.current_occupancy_percent) IS NOT NULL);
    WHEN 'queue_analytics' THEN
      SELECT array_agg(DISTINCT n.store_id) INTO v_stores
      FROM written AS n
      WHERE n.hour_start <= now() - interval '1 hour' AND n.hour_start >= v_oldest - interval '1 hour' AND EXISTS (
        SELECT FROM retail.alert_rules AS r
        JOIN (VALUES ('queue_wait_minutes', n.estimated_wait_time_minutes), ('queue_length', n.predicted_queue_length),
          ('abandonment_risk_percent', 100 * n.abandonment_risk_score)) AS v (metric, value) ON v.metric = r.metric
        WHERE r.is_enabled AND (r.store_id IS NULL OR r.store_id = n.store_id)
          AND retail.raise_alerts_severity(r.comparison, r.warning_threshold, r.critical_threshold,
            CASE WHEN n.is_overloaded THEN 'Infinity' ELSE v.value END) IS NOT NULL);
  END CASE;
  -- What an earlier statement of this transaction has raised is looked at again: a merge updates before it inserts.
  SELECT array_agg(s.id) INTO v_stores
  FROM (
    SELECT unnest(v_stores) UNION
    SELECT a.store_id FROM retail.alerts_generated AS a
    WHERE a."timestamp" = now() AND a.created_at = now() AND NOT a.resolved AND a.metric = ANY (v_metrics)
  ) AS s (id);
  IF v_stores IS NOT NULL THEN
    PERFORM retail.raise_alerts(v_metrics, v_stores, now());
  END IF;
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  RAISE WARNING 'Alerts were not evaluated after a write to retail.%: % (%). The rows are stored; the asset alerts_generated evaluates them in its next run.',
    TG_TABLE_NAME, SQLERRM, SQLSTATE;
  RETURN NULL;
END
$$;
