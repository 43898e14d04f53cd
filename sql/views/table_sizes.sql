-- One table of the schema: how large it is and how old its rows are. An age is of the instant or date in the table's key, else of the
-- first instant that each of its rows has, and of the rows that the reader may see. It is looked up through the key, camera by
-- camera or store by store, so that years cost no more than days.

CREATE OR REPLACE VIEW retail.table_sizes WITH (security_invoker = true) AS
WITH parts AS (
  SELECT coalesce(pg_partition_root(c.oid), c.oid) AS root, c.oid, c.relispartition, c.relkind,
    -- -1: never analyzed; then what the statistics have counted since the start.
    CASE WHEN c.relkind = 'p' THEN 0 WHEN c.reltuples < 0 THEN pg_stat_get_live_tuples(c.oid) ELSE c.reltuples END AS rows
  FROM pg_catalog.pg_class AS c
  WHERE c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'retail') AND c.relkind IN ('r', 'p')
), keys AS (
  -- Its columns in order, the first of time, and the table that the first one names.
  SELECT k.conrelid AS root, k.conkey, m.position, m.name AS time_column, owner.name AS owner
  FROM pg_catalog.pg_constraint AS k
  LEFT JOIN LATERAL (
    SELECT n.position, a.attname::text AS name
    FROM unnest(k.conkey) WITH ORDINALITY AS n (attnum, position)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = n.attnum
    WHERE a.atttypid IN ('timestamptz'::regtype, 'date'::regtype)
    ORDER BY n.position LIMIT 1
  ) AS m ON true
  LEFT JOIN LATERAL (
    SELECT c.relname::text AS name
    FROM pg_catalog.pg_constraint AS f
    JOIN pg_catalog.pg_class AS c ON c.oid = f.confrelid
    WHERE f.conrelid = k.conrelid AND f.contype = 'f' AND f.conkey = k.conkey[1:1] AND f.conparentid = 0
    LIMIT 1
  ) AS owner ON true
  WHERE k.contype = 'p' AND k.connamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'retail')
), asked AS (
  SELECT k.root,
    CASE WHEN k.owner IS NOT NULL AND k.position > 1 THEN format(
      -- From one value of the columns between owner and time to the next, of which each has its first and last row.
      'SELECT span.at FROM retail.%1$I AS owner CROSS JOIN LATERAL (
        WITH RECURSIVE step AS (
          (SELECT %2$s FROM retail.%3$I AS t WHERE t.%4$I = owner.id ORDER BY %2$s LIMIT 1)
          UNION ALL
          SELECT next.* FROM step AS s CROSS JOIN LATERAL (
            SELECT %2$s FROM retail.%3$I AS t WHERE t.%4$I = owner.id AND (%2$s) > (%5$s) ORDER BY %2$s LIMIT 1) AS next
        )
        SELECT ends.at FROM step AS s CROSS JOIN LATERAL (
          (SELECT t.%6$I FROM retail.%3$I AS t WHERE t.%4$I = owner.id AND (%2$s) = (%5$s) ORDER BY t.%6$I LIMIT 1)
          UNION ALL
          (SELECT t.%6$I FROM retail.%3$I AS t WHERE t.%4$I = owner.id AND (%2$s) = (%5$s) ORDER BY t.%6$I DESC LIMIT 1)
        ) AS ends (at)
      ) AS span (at)',
      k.owner, between.of_table, c.relname, between.first, between.of_step, k.time_column)
    ELSE format('SELECT t.%I AS at FROM retail.%I AS t', coalesce(k.time_column, other.name), c.relname) END AS rows
  FROM keys AS k
  JOIN pg_catalog.pg_class AS c ON c.oid = k.root AND NOT c.relispartition
  CROSS JOIN LATERAL (
    SELECT coalesce(string_agg('t.' || quote_ident(a.attname), ', ' ORDER BY n.position) FILTER (WHERE n.position > 1), '1') AS of_table,
      coalesce(string_agg('s.' || quote_ident(a.attname), ', ' ORDER BY n.position) FILTER (WHERE n.position > 1), '1') AS of_step,
      min(a.attname::text) FILTER (WHERE n.position = 1) AS first
    FROM unnest(k.conkey) WITH ORDINALITY AS n (attnum, position)
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.root AND a.attnum = n.attnum
    WHERE n.position < k.position
  ) AS between
  LEFT JOIN LATERAL (
    SELECT a.attname::text AS name
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = k.root AND a.attnum > 0 AND a.attnotnull AND a.atttypid = 'timestamptz'::regtype
    ORDER BY a.attnum LIMIT 1
  ) AS other ON true
  -- A table that somebody added and granted to nobody leaves the others theirs.
  WHERE coalesce(k.time_column, other.name) IS NOT NULL
    AND has_column_privilege(k.root, coalesce(k.time_column, other.name), 'SELECT')
    AND NOT EXISTS (SELECT FROM unnest(k.conkey) AS n (attnum) WHERE NOT has_column_privilege(k.root, n.attnum, 'SELECT'))
), ages AS (
  -- ts_stat runs a text as a query, with the rights of whoever asks: the only function of plain Postgres that does, and lexemes are
  -- what it brings back.
  SELECT q.root, to_timestamp(min(found.word::double precision)) AS oldest_at, to_timestamp(max(found.word::double precision)) AS newest_at
  FROM asked AS q
  CROSS JOIN LATERAL ts_stat(format(
    'SELECT array_to_tsvector(array_remove(ARRAY[extract(epoch FROM min(r.at))::text, extract(epoch FROM max(r.at))::text], NULL))'
    ' FROM (%s) AS r', q.rows)) AS found
  GROUP BY q.root
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
LEFT JOIN ages AS a ON a.root = p.root;
