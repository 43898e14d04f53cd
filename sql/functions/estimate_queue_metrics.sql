-- The queue at the tills in the newest hour that had ended at p_at, at most 4 hours before. Without a region: one row for each store,
-- or for p_store_id, from queue_analytics. With p_queue_region or p_sensor_id: one row for each region of role `queue` that they
-- name, by the formulas of analytics/queueing.py from the region's own detections that stay over 60 s; how the lanes of a store are
-- shared by several such regions is not known. An unknown id, or a region of another role, gives no row; a region 5, and
-- p_at that is no instant, is an error.
-- queue_length is the mean number waiting, queue_velocity customers served a minute; NULL with its reason, as queueing.py has them,
-- and several_queue_regions, no_ended_hour, part_of_store (you were granted cameras of it and not the store). analysis_type says
-- where the numbers come from: model (formulas) or hybrid (learnt).

CREATE OR REPLACE FUNCTION retail.estimate_queue_metrics(
  p_store_id uuid DEFAULT NULL, p_queue_region integer DEFAULT NULL, p_sensor_id uuid DEFAULT NULL, p_at timestamptz DEFAULT now())
RETURNS TABLE (
  store_id uuid, sensor_id uuid, queue_region integer, hour_start timestamptz, analysis_type text, arrivals double precision,
  lanes double precision, queue_length double precision, estimated_wait_minutes double precision, queue_velocity double precision,
  wait_probability double precision, share_within_target double precision, is_overloaded boolean, recommended_open_lanes integer,
  recommendation text, reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF p_queue_region NOT BETWEEN 1 AND 4 THEN
    RAISE invalid_parameter_value USING
      MESSAGE = pg_catalog.format('Region %s does not exist: a camera has regions 1 to 4.', p_queue_region),
      HINT = 'Leave p_queue_region out for the queue of the whole store.';
  ELSIF isfinite(p_at) IS NOT TRUE THEN
    RAISE invalid_parameter_value USING
      MESSAGE = pg_catalog.format('p_at is %s and no instant: give one, or leave it out for now.', coalesce(p_at::text, 'NULL'));
  END IF;
  IF p_queue_region IS NULL AND p_sensor_id IS NULL THEN
    RETURN QUERY
    SELECT s.id, NULL::uuid, NULL::integer, q.hour_start, q.analysis_type, q.arrivals, q.lanes, q.predicted_queue_length,
      q.estimated_wait_time_minutes, q.queue_velocity, q.wait_probability, q.share_within_target, q.is_overloaded,
      q.recommended_open_lanes, retail.lanes_advice(q.recommended_open_lanes, q.lanes, q.lanes_source = 'roster'),
      CASE WHEN own.is_part THEN 'part_of_store' WHEN q.store_id IS NULL THEN 'no_ended_hour'
        ELSE q.quality ->> 'estimated_wait_time_minutes' END
    FROM retail.stores AS s
    CROSS JOIN LATERAL (
      -- Grants that a user sees are his own; whom no policy binds sees every camera.
      SELECT row_security_active('retail.stores') AND EXISTS (
          SELECT FROM retail.user_sensor_access AS g
          JOIN retail.sensor_metadata AS o ON o.id = g.sensor_id
          WHERE o.store_id = s.id AND g.user_id = (SELECT retail.current_user_id()))
        AND NOT EXISTS (
          SELECT FROM retail.user_sensor_access AS g
          WHERE (g.store_id = s.id OR g.organization_id = s.organization_id)
            AND g.user_id = (SELECT retail.current_user_id())) AS is_part
    ) AS own
    LEFT JOIN LATERAL (
      SELECT a.*
      FROM retail.queue_analytics AS a
      WHERE a.store_id = s.id AND a.hour_start <= p_at - interval '1 hour' AND a.hour_start > p_at - interval '5 hours'
      ORDER BY a.hour_start DESC LIMIT 1
    ) AS q ON true
    WHERE p_store_id IS NULL OR s.id = p_store_id;
    RETURN;
  END IF;
  RETURN QUERY
  SELECT s.id, m.id, r.region_number, h.hour_start, 'model'::text, a.arrivals, l.lanes, a.arrivals / 60 * f.wait, f.wait,
    -- least() alone leaves NULL out.
    CASE WHEN a.arrivals IS NOT NULL AND l.lanes IS NOT NULL THEN least(a.arrivals / 60, l.lanes * t.rate) END, f.probability,
    -- A product too small for its kind is an error to Postgres: exp(-200) is nothing beside 1, and a probability 0 or over 1e-200.
    1 - f.probability * exp(greatest(-t.rate * (l.lanes - a.load) * t.minutes, -200)),
    f.is_overloaded, needed.lanes, retail.lanes_advice(needed.lanes, l.lanes, l.is_rostered AND needed.lanes > 0),
    CASE
      WHEN h.hour_start IS NULL THEN 'no_ended_hour'
      WHEN own.is_part THEN 'part_of_store'
      WHEN a.arrivals IS NULL THEN 'no_queue_input'
      WHEN others.queue_regions > 1 THEN 'several_queue_regions'
      WHEN l.lanes IS NULL THEN 'no_lanes'
      WHEN f.is_overloaded THEN 'overloaded'
      WHEN f.wait IS NULL THEN 'no_lanes_open'
    END
  FROM retail.region_configurations AS r
  JOIN retail.sensor_metadata AS m ON m.id = r.sensor_id
  JOIN retail.stores AS s ON s.id = m.store_id
  CROSS JOIN LATERAL (
    -- Grants that a user sees are his own; whom no policy binds sees every camera.
    SELECT row_security_active('retail.stores') AND EXISTS (
        SELECT FROM retail.user_sensor_access AS g
        JOIN retail.sensor_metadata AS o ON o.id = g.sensor_id
        WHERE o.store_id = s.id AND g.user_id = (SELECT retail.current_user_id()))
      AND NOT EXISTS (
        SELECT FROM retail.user_sensor_access AS g
        WHERE (g.store_id = s.id OR g.organization_id = s.organization_id)
          AND g.user_id = (SELECT retail.current_user_id())) AS is_part
  ) AS own
  LEFT JOIN retail.store_service AS v ON v.store_id = s.id
  -- What holds for a store that does not say how fast a lane is (tables/queues.py).
  CROSS JOIN LATERAL (
    SELECT coalesce(v.service_rate_per_minute, 0.8) AS rate, coalesce(v.target_minutes, 5) AS minutes,
      coalesce(v.target_share, 0.8) AS share
  ) AS t
  CROSS JOIN LATERAL (
    SELECT count(*) AS queue_regions
    FROM retail.region_configurations AS o
    JOIN retail.sensor_metadata AS c ON c.id = o.sensor_id
    WHERE c.store_id = s.id AND o.role = 'queue'
  ) AS others
  LEFT JOIN LATERAL (
    SELECT b.hour_start, b.is_open,
      -- What a camera had counted when it was last asked, before the hour's end, is not the count of an hour.
      CASE WHEN b.data_completeness >= 1 OR b.quality ->> 'counts' <> 'provisional'
        THEN (b.region_counts ->> r.region_number::text)::double precision END AS detections
    FROM retail.hourly_analytics AS b
    WHERE b.sensor_id = m.id AND b.hour_start <= p_at - interval '1 hour' AND b.hour_start > p_at - interval '5 hours'
    ORDER BY b.hour_start DESC LIMIT 1
  ) AS h ON true
  LEFT JOIN LATERAL (
    SELECT y.stay_over_60_s AS longer
    FROM retail.region_stays AS y
    WHERE y.sensor_id = m.id AND y.region_number = r.region_number AND y.stay_over_60_s IS NOT NULL
      AND y.date BETWEEN (h.hour_start AT TIME ZONE s.timezone)::date - 7 AND (h.hour_start AT TIME ZONE s.timezone)::date
    ORDER BY y.date DESC LIMIT 1
  ) AS stay ON true
  CROSS JOIN LATERAL (
    SELECT CASE WHEN bool_and(d.total_entries IS NOT NULL
        AND (d.data_completeness >= 1 OR d.quality ->> 'counts' <> 'provisional')) THEN sum(d.total_entries) END AS entries
    FROM retail.sensor_metadata AS c
    JOIN retail.hourly_analytics AS d ON d.sensor_id = c.id AND d.hour_start = h.hour_start
    WHERE c.store_id = s.id AND (
      NOT EXISTS (SELECT FROM retail.counting_lines AS n WHERE n.sensor_id = c.id)
      OR EXISTS (SELECT FROM retail.counting_lines AS n WHERE n.sensor_id = c.id AND n.role = 'entrance'))
  ) AS doors
  CROSS JOIN LATERAL (
    -- Far more arrivals than people who came in are no count of customers.
    SELECT b.people AS arrivals, b.people / 60 / t.rate AS load
    FROM (SELECT CASE WHEN h.detections = 0 THEN 0 ELSE h.detections * stay.longer END) AS o (people)
    CROSS JOIN LATERAL (SELECT CASE WHEN o.people <= 1.5 * doors.entries THEN o.people END) AS b (people)
  ) AS a
  LEFT JOIN retail.staff_hours AS w ON w.store_id = s.id AND w.hour_start = h.hour_start
  CROSS JOIN LATERAL (
    SELECT CASE WHEN others.queue_regions = 1 THEN coalesce(w.lanes_open::double precision, v.lanes) END AS lanes,
      w.lanes_open IS NOT NULL AS is_rostered
  ) AS l
  CROSS JOIN LATERAL (
    SELECT e.probability, e.probability / (t.rate * (l.lanes - a.load)) AS wait,
      coalesce(a.load > 0 AND a.load >= (1 - 1e-9) * l.lanes, false) AS is_overloaded
    FROM (SELECT retail.erlang_c(a.load, l.lanes)) AS e (probability)
  ) AS f
  CROSS JOIN LATERAL (
    SELECT CASE WHEN a.arrivals IS NULL OR own.is_part THEN NULL WHEN a.arrivals = 0 AND NOT h.is_open THEN 0
      ELSE retail.lanes_needed(a.load, t.rate, t.minutes, t.share) END AS lanes
  ) AS needed
  WHERE r.role = 'queue'
    AND (p_store_id IS NULL OR s.id = p_store_id)
    AND (p_sensor_id IS NULL OR m.id = p_sensor_id)
    AND (p_queue_region IS NULL OR r.region_number = p_queue_region);
END
$$;
