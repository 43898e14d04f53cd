-- How many people are inside as of p_at: entries less exits of the entrance lines since the store's reset time by its own clock,
-- over the hours that every entrance camera has counted without a gap, never under 0 and never scaled (`live` of
-- analytics/occupancy.py). One row for each store, for the store p_store_id, or for the camera p_sensor_id, whose own number exists
-- when it holds all of its store's entrances. An unknown id gives no row.
-- Where realtime_analytics has a newer number of the store, that one is taken; source says which: hours or minutes.
-- current_occupancy is NULL with its reason: no_entrance_line, store_level_only, incomplete_day (a gap since the reset),
-- not_counted_lately (2 hours), part_of_store (you were granted cameras of it and not the store: who came by its other doors you do
-- not see). confidence goes by the age of last_update: high to 10 minutes, medium to 30, then low. p_at that is no instant: an error.

CREATE OR REPLACE FUNCTION retail.calculate_current_occupancy(
  p_sensor_id uuid DEFAULT NULL, p_store_id uuid DEFAULT NULL, p_at timestamptz DEFAULT now())
RETURNS TABLE (
  store_id uuid, sensor_id uuid, current_occupancy integer, last_update timestamptz, confidence text,
  utilization double precision, reset_at timestamptz, source text, reason text)
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF isfinite(p_at) IS NOT TRUE THEN
    RAISE invalid_parameter_value USING
      MESSAGE = pg_catalog.format('p_at is %s and no instant: give one, or leave it out for now.', coalesce(p_at::text, 'NULL'));
  END IF;
  RETURN QUERY
  SELECT s.id, p_sensor_id, t.current_occupancy, t.as_of,
    CASE WHEN t.as_of >= p_at - interval '10 minutes' THEN 'high'
      WHEN t.as_of >= p_at - interval '30 minutes' THEN 'medium'
      WHEN t.as_of IS NOT NULL THEN 'low' END,
    t.current_occupancy::double precision / s.capacity, w.reset_at, t.source, t.reason
  FROM retail.stores AS s
  CROSS JOIN LATERAL (
    SELECT max(o.at) AS reset_at
    FROM (VALUES (0), (1)) AS back (days)
    CROSS JOIN LATERAL (
      SELECT retail.local_instant((p_at AT TIME ZONE s.timezone)::date - back.days + s.occupancy_reset_time, s.timezone)
    ) AS o (at)
    WHERE o.at <= p_at
  ) AS w
  CROSS JOIN LATERAL (
    SELECT array_agg(m.id) AS cameras, bool_or(m.id = p_sensor_id) AS is_among_them
    FROM retail.sensor_metadata AS m
    WHERE m.store_id = s.id AND (
      NOT EXISTS (SELECT FROM retail.counting_lines AS l WHERE l.sensor_id = m.id)
      OR EXISTS (SELECT FROM retail.counting_lines AS l WHERE l.sensor_id = m.id AND l.role = 'entrance'))
  ) AS doors
  CROSS JOIN LATERAL (
    -- Grants that a user sees are his own; whom no policy binds sees every camera.
    SELECT row_security_active('retail.stores') AND EXISTS (
        SELECT FROM retail.user_sensor_access AS g
        JOIN retail.sensor_metadata AS m ON m.id = g.sensor_id
        WHERE m.store_id = s.id AND g.user_id = (SELECT retail.current_user_id()))
      AND NOT EXISTS (
        SELECT FROM retail.user_sensor_access AS g
        WHERE (g.store_id = s.id OR g.organization_id = s.organization_id)
          AND g.user_id = (SELECT retail.current_user_id())) AS is_part
  ) AS own
  CROSS JOIN LATERAL (
    -- Of each hour since the reset: how many cameras should have counted and did, who came and went, and until when.
    WITH hours AS MATERIALIZED (
      SELECT h.sensor_id AS camera, floor(extract(epoch FROM h.hour_start - w.reset_at) / 3600)::integer AS slot,
        h.total_entries AS entries, h.total_exits AS exits, a.as_of,
        a.as_of <= p_at AND (h.data_completeness >= 1 OR (h.total_entries IS NOT NULL AND h.total_exits IS NOT NULL
          AND h.quality ->> 'counts' NOT IN ('estimated', 'substituted'))) AS is_counted
      FROM retail.hourly_analytics AS h
      LEFT JOIN retail.collection_log AS l
        ON l.sensor_id = h.sensor_id AND l.endpoint = 'people_counting' AND l.hour_start = h.hour_start
      CROSS JOIN LATERAL (
        -- updated_at alone would not do: an hour that is asked again and has not changed keeps it.
        SELECT CASE WHEN h.data_completeness >= 1 THEN h.hour_start + interval '1 hour'
          ELSE least(coalesce(l.last_success_at, h.updated_at), h.hour_start + interval '1 hour') END AS as_of
      ) AS a
      WHERE h.sensor_id = ANY (doors.cameras) AND h.hour_start >= w.reset_at AND h.hour_start < p_at
    ), slots AS (
      SELECT slot.number, count(c.camera) AS expected, count(h.camera) AS counted, min(h.as_of) AS as_of,
        sum(coalesce(h.entries, 0) - coalesce(h.exits, 0)) AS net
      FROM generate_series(0, floor(extract(epoch FROM p_at - w.reset_at) / 3600)::integer) AS slot (number)
      LEFT JOIN (
        -- Expected is a camera that has any row, or that is declared as installed; never before the day of its installation.
        SELECT m.id AS camera, retail.local_instant(m.installed_on::timestamp, s.timezone) AS installed_at
        FROM retail.sensor_metadata AS m
        WHERE m.id = ANY (doors.cameras)
          AND ((m.installed_on IS NOT NULL AND m.is_active) OR EXISTS (SELECT FROM hours AS h WHERE h.camera = m.id))
      ) AS c ON c.installed_at IS NULL OR w.reset_at + slot.number * interval '1 hour' >= c.installed_at
      LEFT JOIN hours AS h ON h.camera = c.camera AND h.slot = slot.number AND h.is_counted
      GROUP BY slot.number
    ), running AS (
      SELECT number, as_of, counted, expected, sum(net) OVER earlier AS inside,
        bool_and(counted = expected AND expected > 0) OVER earlier AS is_known
      FROM slots
      WINDOW earlier AS (ORDER BY number)
    )
    -- At the reset nobody is inside, which is known before the first hour is.
    SELECT coalesce((array_agg(inside ORDER BY number DESC) FILTER (WHERE is_known))[1], 0) AS inside,
      coalesce((array_agg(as_of ORDER BY number DESC) FILTER (WHERE is_known))[1], w.reset_at) AS as_of,
      coalesce(bool_or(expected > 0), false) AS is_expected,
      coalesce(bool_or(NOT is_known AND counted > 0), false) AS has_gap
    FROM running
  ) AS n
  LEFT JOIN LATERAL (
    SELECT a.current_count, a.period_end
    FROM retail.realtime_analytics AS a
    WHERE a.sensor_id = ANY (doors.cameras) AND a.current_count IS NOT NULL
      AND a.period_end > w.reset_at AND a.period_end > p_at - interval '2 hours' AND a.period_end <= p_at
    ORDER BY a.period_end DESC LIMIT 1
  ) AS minutes ON true
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN own.is_part THEN 'part_of_store'
      WHEN doors.cameras IS NULL OR (p_sensor_id IS NOT NULL AND NOT doors.is_among_them) THEN 'no_entrance_line'
      WHEN p_sensor_id IS NOT NULL AND cardinality(doors.cameras) > 1 THEN 'store_level_only'
    END AS never,
    n.is_expected AND n.as_of >= p_at - interval '2 hours' AS has_hours
  ) AS r
  CROSS JOIN LATERAL (
    SELECT o.source,
      CASE o.source WHEN 'hours' THEN greatest(round(n.inside), 0)::integer WHEN 'minutes' THEN minutes.current_count END
        AS current_occupancy,
      CASE o.source WHEN 'hours' THEN n.as_of WHEN 'minutes' THEN minutes.period_end END AS as_of,
      CASE WHEN o.source IS NULL
        THEN coalesce(r.never, CASE WHEN n.has_gap THEN 'incomplete_day' ELSE 'not_counted_lately' END) END AS reason
    FROM (SELECT CASE
      WHEN r.never IS NOT NULL THEN NULL
      WHEN minutes.period_end > n.as_of OR (minutes.period_end IS NOT NULL AND NOT r.has_hours) THEN 'minutes'
      WHEN r.has_hours THEN 'hours'
    END) AS o (source)
  ) AS t
  WHERE (p_store_id IS NULL OR s.id = p_store_id)
    AND (p_sensor_id IS NULL OR s.id = (SELECT m.store_id FROM retail.sensor_metadata AS m WHERE m.id = p_sensor_id));
END
$$;
