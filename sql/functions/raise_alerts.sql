-- Raises and keeps the alerts that the rules on p_metrics give for the stores at p_at, as `evaluate` of analytics/alerts.py does, and
-- returns how many are new or changed. To resolve and to escalate is left to it: this never ends an alert, except that one which
-- the running transaction itself has raised is withdrawn where a later statement of it shows that there was no cause.
-- The same call again changes nothing. Alerts are locked as storage/alerts.py locks them until the transaction ends.

CREATE OR REPLACE FUNCTION retail.raise_alerts(p_metrics text[], p_stores uuid[], p_at timestamptz DEFAULT now()) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_count integer;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('retail.alerts_generated writer', 0));
  DELETE FROM retail.alerts_generated AS a
  WHERE a."timestamp" = p_at AND a.created_at = now() AND NOT a.resolved
    AND a.metric = ANY (p_metrics) AND a.store_id = ANY (p_stores);

  WITH seen AS MATERIALIZED (
    SELECT o.* FROM retail.raise_alerts_observations(p_metrics, p_stores, p_at) AS o
  ), rules AS (
    -- A store's own row stands in place of the rule for all, even switched off.
    SELECT DISTINCT ON (s.id, r.rule_name) s.store_name, s.timezone, s.id AS at_store, r.*
    FROM retail.stores AS s
    JOIN retail.alert_rules AS r ON r.store_id = s.id OR r.store_id IS NULL
    WHERE s.id = ANY (p_stores)
    ORDER BY s.id, r.rule_name, r.store_id NULLS LAST
  ), judged AS (
    SELECT r.*, o.value, o.seen_from, o.seen_until, o.details, v.severity, a.id AS alert_id, a.severity AS severity_before,
      a.last_seen_at AS last_seen_before, a.metrics AS metrics_before, e.ended_at, row_number() OVER newest AS nth,
      min(o.seen_from) OVER (newest ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS since_so_far
    FROM rules AS r
    LEFT JOIN retail.alerts_generated AS a
      ON a.rule_name = r.rule_name AND coalesce(a.sensor_id, a.store_id) = r.at_store AND NOT a.resolved
    LEFT JOIN LATERAL (
      -- No cool-down is longer.
      SELECT max(b.resolved_at) AS ended_at
      FROM retail.alerts_generated AS b
      WHERE b.rule_name = r.rule_name AND b.store_id = r.at_store AND b.sensor_id IS NULL
        AND b.resolved AND b.resolved_at >= p_at - interval '30 days'
    ) AS e ON a.id IS NULL
    JOIN seen AS o
      ON o.store_id = r.at_store AND o.metric = r.metric AND (e.ended_at IS NULL OR o.seen_until > e.ended_at)
    CROSS JOIN LATERAL (
      SELECT retail.raise_alerts_severity(r.comparison, r.warning_threshold, r.critical_threshold, o.value)
    ) AS v (severity)
    WHERE r.is_enabled AND r.metric = ANY (p_metrics)
    WINDOW newest AS (PARTITION BY r.at_store, r.rule_name ORDER BY o.seen_until DESC, o.seen_from DESC)
  ), lasting AS (
    -- Back from the newest as long as all are over a threshold and no gap is between them.
    SELECT j.*,
      bool_or(j.nth > 1 AND (j.severity IS NULL OR j.seen_until < j.since_so_far))
        OVER (PARTITION BY j.at_store, j.rule_name ORDER BY j.nth) AS is_cut_off
    FROM judged AS j
  ), newest AS (
    SELECT DISTINCT ON (l.at_store, l.rule_name) l.*,
      min(l.seen_from) FILTER (WHERE NOT l.is_cut_off) OVER (PARTITION BY l.at_store, l.rule_name) AS since
    FROM lasting AS l
    ORDER BY l.at_store, l.rule_name, l.nth
  ), due AS MATERIALIZED (
    SELECT n.*, w.severity AS severity_now, t.threshold, x.title, x.message,
      jsonb_build_object(n.metric, nullif(n.value, 'Infinity')) || n.details AS metrics
    FROM newest AS n
    CROSS JOIN LATERAL (
      -- It does not fall, unless its threshold was taken out of the rule.
      SELECT CASE WHEN n.severity_before = 'critical' AND n.critical_threshold IS NOT NULL THEN 'critical'
        ELSE n.severity END
    ) AS w (severity)
    CROSS JOIN LATERAL (
      SELECT CASE w.severity WHEN 'critical' THEN n.critical_threshold ELSE n.warning_threshold END
    ) AS t (threshold)
    CROSS JOIN LATERAL retail.raise_alerts_text(
      n.metric, n.store_name, n.timezone, n.value, t.threshold, n.seen_from, n.seen_until, n.details) AS x
    WHERE n.severity IS NOT NULL AND p_at - n.seen_until <= n.recency_minutes * interval '1 minute'
      AND CASE WHEN n.alert_id IS NOT NULL THEN n.seen_until >= n.last_seen_before
        ELSE n.seen_until - n.since >= n.hold_minutes * interval '1 minute'
          AND (n.ended_at IS NULL OR p_at - n.ended_at >= n.cool_down_minutes * interval '1 minute') END
  ), kept AS (
    UPDATE retail.alerts_generated AS a
    SET severity = d.severity_now, title = d.title, message = d.message, metrics = d.metrics, threshold_value = d.threshold,
      actual_value = nullif(d.value, 'Infinity'), last_seen_at = d.seen_until,
      occurrences = a.occurrences + CASE WHEN d.seen_until > a.last_seen_at THEN 1 ELSE 0 END,
      actions_taken = a.actions_taken || CASE WHEN d.severity_now = 'critical' AND d.severity_before = 'warning'
        THEN jsonb_build_array(jsonb_build_object('action', 'severity_raised', 'by', 'rule ' || d.rule_name,
          'result', d.severity_now || ': ' || d.title, 'timestamp',
          replace(to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '.000000', '') || '+00:00'))
        ELSE '[]' END,
      updated_at = now()
    FROM due AS d
    WHERE a.id = d.alert_id AND NOT a.resolved
      AND (a.severity, a.title, a.message, a.metrics, a.threshold_value, a.actual_value, a.last_seen_at)
        IS DISTINCT FROM (d.severity_now, d.title, d.message, d.metrics, d.threshold, nullif(d.value, 'Infinity'), d.seen_until)
    RETURNING a.id
  ), raised AS (
    INSERT INTO retail.alerts_generated (id, rule_name, scope, store_id, alert_type, metric, severity, "timestamp", title, message,
      metrics, threshold_value, actual_value, first_seen_at, last_seen_at, occurrences, acknowledged, resolved, actions_taken,
      escalated)
    SELECT left(encode(sha256(convert_to(format('%s %s %s', d.rule_name, d.at_store, extract(epoch FROM p_at)), 'UTF8')), 'hex'), 32)::uuid,
      d.rule_name, d.scope, d.at_store, d.alert_type, d.metric, d.severity_now, p_at, d.title, d.message, d.metrics, d.threshold,
      nullif(d.value, 'Infinity'), d.since, d.seen_until, 1, false, false, '[]', false
    FROM due AS d
    WHERE d.alert_id IS NULL
    ON CONFLICT (rule_name, coalesce(sensor_id, store_id)) WHERE NOT resolved DO NOTHING
    RETURNING id
  )
  SELECT (SELECT count(*) FROM kept) + (SELECT count(*) FROM raised) INTO v_count;
  RETURN v_count;
END
$$;
