-- What is known before a range is asked for: `retail-sensors backfill --dry-run`.

-- name: final_hours
-- One row for each of the pairs of :sensors and :endpoints that has final rows in the window: how many, and how many of them
-- start before the pair's :held_from (NULL: the camera's memory has no known end).
WITH held AS (
  SELECT *
  FROM unnest(%(sensors)s::uuid[], %(endpoints)s::text[], %(held_from)s::timestamptz[]) AS h (sensor_id, endpoint, held_from)
), final AS (
  SELECT sensor_id, 'people_counting' AS endpoint, "timestamp"
  FROM retail.people_counting_raw
  WHERE is_final AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
  UNION ALL
  SELECT sensor_id, 'regional_counting', "timestamp"
  FROM retail.regional_counting_raw
  WHERE is_final AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
  UNION ALL
  SELECT sensor_id, 'heatmap_temporal', "timestamp"
  FROM retail.heatmap_temporal_raw
  WHERE is_final AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
)
SELECT sensor_id::text, endpoint, count(*)::integer,
  (count(*) FILTER (WHERE f."timestamp" < h.held_from))::integer
FROM held AS h
JOIN final AS f USING (sensor_id, endpoint)
GROUP BY sensor_id, endpoint

-- name: stored_days
-- Cameras and dates of which the answers are stored, so that the day is not asked for again.
SELECT DISTINCT 'region_stays', sensor_id::text, date
FROM retail.region_stays
WHERE date >= %(first)s AND date <= %(last)s
UNION ALL
SELECT 'spatial_heatmap', sensor_id::text, date
FROM retail.heatmap_spatial_raw
WHERE date >= %(first)s AND date <= %(last)s

-- name: latencies
-- Median duration in ms of the questions that each of the cameras :sensors answered for its newest logged hours, ten days of
-- each of its endpoints: the log holds a question once for each hour that it was to answer. A camera that never answered has no row.
SELECT s.id::text, percentile_cont(0.5) WITHIN GROUP (ORDER BY q.latency_ms)
FROM unnest(%(sensors)s::uuid[]) AS s (id)
CROSS JOIN LATERAL (
  SELECT DISTINCT e.endpoint, n.asked_at, n.latency_ms
  FROM unnest(%(endpoints)s::text[]) AS e (endpoint)
  CROSS JOIN LATERAL (
    SELECT l.asked_at, l.latency_ms
    FROM retail.collection_log AS l
    WHERE l.sensor_id = s.id AND l.endpoint = e.endpoint AND l.latency_ms IS NOT NULL
      AND l.outcome IN ('ok', 'ok_with_rejects', 'no_rows', 'beyond_retention')
    ORDER BY l.hour_start DESC
    LIMIT 240
  ) AS n
) AS q
GROUP BY s.id
