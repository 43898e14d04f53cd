-- What an alert about a crowd or a queue says to a shop manager: title and message, word for word those of
-- analytics/alert_texts.py. p_value Infinity: more came than can be served.

CREATE OR REPLACE FUNCTION retail.raise_alerts_text(
  p_metric text, p_store text, p_zone text, p_value double precision, p_threshold double precision,
  p_seen_from timestamptz, p_seen_until timestamptz, p_details jsonb, OUT title text, OUT message text)
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT
    CASE
      WHEN p_metric = 'utilization_percent' THEN format('%s is crowded: %s %% of its capacity', p_store, w.value)
      WHEN p_value = 'Infinity' THEN format('The tills of %s cannot serve all who come', p_store)
      WHEN p_metric = 'queue_length' THEN format('Long queue in %s: %s people waiting', p_store, w.value)
      WHEN p_metric = 'queue_wait_minutes' THEN format('Long wait in %s: %s on average', p_store, w.value)
      ELSE format('Customers of %s may give up waiting', p_store)
    END,
    CASE
      WHEN p_metric = 'utilization_percent' THEN format(
        'On average %s people were in %s between %s and %s, %s %% of the %s that are allowed (limit %s). Let people in only as '
        'others leave, and open all tills and exits.',
        round((p_details ->> 'avg_occupancy')::double precision), p_store, w.starts, w.ends, w.value,
        round((p_details ->> 'capacity')::double precision), w.threshold)
      WHEN p_value = 'Infinity' THEN format(
        'Between %s and %s more customers came to the tills of %s than the open lanes can serve: queue and wait only grow. %s',
        w.starts, w.ends, p_store, w.advice)
      WHEN p_metric = 'queue_length' THEN format(
        'Between %s and %s about %s people waited at the tills of %s on average (limit %s). %s',
        w.starts, w.ends, w.value, p_store, w.threshold, w.advice)
      WHEN p_metric = 'queue_wait_minutes' THEN format(
        'Between %s and %s customers waited about %s at the tills of %s on average (limit %s). %s',
        w.starts, w.ends, w.value, p_store, w.threshold, w.advice)
      ELSE format(
        'Between %s and %s the customers at the tills of %s%s were at a risk step of %s %% to leave without buying (limit %s). %s',
        w.starts, w.ends, p_store,
        ', who waited about ' || retail.raise_alerts_duration((p_details ->> 'estimated_wait_time_minutes')::double precision) || ',',
        w.value, w.threshold, w.advice)
    END
  FROM (
    SELECT p_seen_from AT TIME ZONE p_zone AS first, p_seen_until AT TIME ZONE p_zone AS last,
      p_details ->> 'recommended_open_lanes' AS lanes
  ) AS local
  CROSS JOIN LATERAL (
    SELECT
      to_char(local.first, CASE WHEN local.first::date = local.last::date THEN 'HH24:MI' ELSE 'Dy FMDD Mon HH24:MI' END) AS starts,
      to_char(local.last, 'HH24:MI') AS ends,
      CASE p_metric WHEN 'queue_wait_minutes' THEN retail.raise_alerts_duration(p_value) ELSE round(p_value)::text END AS value,
      CASE WHEN p_metric = 'queue_wait_minutes' THEN retail.raise_alerts_duration(p_threshold)
        WHEN p_metric = 'queue_length' THEN round(p_threshold)::text
        ELSE round(p_threshold) || ' %' END AS threshold,
      CASE WHEN local.lanes IS NULL THEN 'Open another till.'
        ELSE format('Have %s till%s open.', local.lanes, CASE local.lanes WHEN '1' THEN '' ELSE 's' END) END AS advice
  ) AS w
$$;
