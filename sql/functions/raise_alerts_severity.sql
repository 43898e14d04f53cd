-- How bad a value is by a rule: critical, warning, or NULL where it is within the limits or not known (`Rule.severity` of
-- analytics/alert_rules.py). Without settings of its own, so that Postgres writes it into the query: it is asked of every row.

CREATE OR REPLACE FUNCTION retail.raise_alerts_severity(
  p_comparison text, p_warning double precision, p_critical double precision, p_value double precision)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE
    WHEN CASE p_comparison WHEN '>' THEN p_value > p_critical WHEN '>=' THEN p_value >= p_critical
      WHEN '<' THEN p_value < p_critical ELSE p_value <= p_critical END THEN 'critical'
    WHEN CASE p_comparison WHEN '>' THEN p_value > p_warning WHEN '>=' THEN p_value >= p_warning
      WHEN '<' THEN p_value < p_warning ELSE p_value <= p_warning END THEN 'warning'
  END
$$;
