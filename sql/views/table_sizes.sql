-- One table of the schema: how large it is and how old its rows are. Ages of what grows by camera or store come from the keys, row by
-- row of the registry; they are of the rows that the reader may see.

CREATE OR REPLACE VIEW retail.table_sizes WITH (security_invoker = true) AS
WITH parts AS (
  SELECT coalesce(pg_partition_root(c.oid), c.oid) AS root, c.oid, c.relispartition, c.relkind,
    -- -1: never analyzed; then what the statistics have counted since the start.
    CASE WHEN c.relkind = 'p' THEN 0 WHEN c.reltuples < 0 THEN pg_stat_get_live_tuples(c.oid) ELSE c.reltuples END AS rows
  FROM pg_catalog.pg_class AS c
  WHERE c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'retail') AND c.relkind IN ('r', 'p')
), ages AS (
  SELECT 'hourly_analytics' AS table_name, min(f.at) AS oldest_at, max(l.at) AS newest_at
  FROM retail.sensor_metadata AS m
  CROSS JOIN LATERAL (SELECT h.hour_start FROM retail.hourly_analytics AS h WHERE h.sensor_id = m.id ORDER BY h.hour_start LIMIT 1)
    AS f (at)
  CROSS JOIN LATERAL (
    SELECT h.hour_start FROM retail.hourly_analytics AS h WHERE h.sensor_id = m.id ORDER BY h.hour_start DESC LIMIT 1) AS l (at)
  UNION ALL
  SELECT 'people_counting_raw', min(f.at), max(l.at)
  FROM retail.sensor_metadata AS m
  CROSS JOIN LATERAL (
    SELECT r."timestamp" FROM retail.people_counting_raw AS r WHERE r.sensor_id = m.id ORDER BY r."timestamp" LIMIT 1) AS f (at)
  CROSS JOIN LATERAL (
    SELECT r."timestamp" FROM retail.people_counting_raw AS r WHERE r.sensor_id = m.id ORDER BY r."timestamp" DESC LIMIT 1) AS l (at)
  UNION ALL
  SELECT 'store_hourly', min(f.at), max(l.at)
  FROM retail.stores AS s
  CROSS JOIN LATERAL (SELECT h.hour_start FROM retail.store_hourly AS h WHERE h.store_id = s.id ORDER BY h.hour_start LIMIT 1)
    AS f (at)
  CROSS JOIN LATERAL (
    SELECT h.hour_start FROM retail.store_hourly AS h WHERE h.store_id = s.id ORDER BY h.hour_start DESC LIMIT 1) AS l (at)
  UNION ALL
  SELECT 'queue_analytics', min(f.at), max(l.at)
  FROM retail.stores AS s
  CROSS JOIN LATERAL (SELECT q.hour_start FROM retail.queue_analytics AS q WHERE q.store_id = s.id ORDER BY q.hour_start LIMIT 1)
    AS f (at)
  CROSS JOIN LATERAL (
    SELECT q.hour_start FROM retail.queue_analytics AS q WHERE q.store_id = s.id ORDER BY q.hour_start DESC LIMIT 1) AS l (at)
  UNION ALL
  SELECT 'daily_analytics', min(d.date)::timestamp AT TIME ZONE 'UTC', max(d.date)::timestamp AT TIME ZONE 'UTC'
  FROM retail.daily_analytics AS d
  UNION ALL
  SELECT 'store_daily', min(d.date)::timestamp AT TIME ZONE 'UTC', max(d.date)::timestamp AT TIME ZONE 'UTC'
  FROM retail.store_daily AS d
  UNION ALL
  SELECT 'kpi_metrics', min(k.date)::timestamp AT TIME ZONE 'UTC', max(k.date)::timestamp AT TIME ZONE 'UTC'
  FROM retail.kpi_metrics AS k
  UNION ALL
  SELECT 'alerts_generated', min(a."timestamp"), max(a."timestamp")
  FROM retail.alerts_generated AS a
)
SELECT
  c.relname::text AS table_name,
  p.estimated_rows,
  p.total_bytes,
  p.index_bytes,
  p.partitions,
  a.oldest_at,
  a.newest_at
FROM (
  SELECT root, sum(rows)::bigint AS estimated_rows, sum(pg_total_relation_size(oid))::bigint AS total_bytes,
    sum(pg_indexes_size(oid))::bigint AS index_bytes, count(*) FILTER (WHERE relispartition)::integer AS partitions
  FROM parts
  GROUP BY root
) AS p
JOIN pg_catalog.pg_class AS c ON c.oid = p.root
LEFT JOIN ages AS a ON a.table_name = c.relname;
