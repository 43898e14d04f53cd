-- What the database says of itself: `retail-sensors db status`, backup, restore and move (retail_sensors/storage/backup.py).

-- name: tables
-- The tables of the schema, a partitioned one once; none: there is no schema.
SELECT c.relname::text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'retail' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1

-- name: sizes
-- Tables with their rows as Postgres estimates them and their bytes on disk with indexes, partitions added up; the largest first.
SELECT c.relname::text,
  sum(CASE WHEN p.relkind = 'p' THEN 0 WHEN p.reltuples < 0 THEN pg_stat_get_live_tuples(p.oid) ELSE p.reltuples END)::bigint,
  sum(pg_total_relation_size(p.oid))::bigint AS bytes
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class AS p ON p.oid = c.oid OR p.oid IN (SELECT t.relid FROM pg_partition_tree(c.oid) AS t)
WHERE n.nspname = 'retail' AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
GROUP BY c.oid, c.relname
ORDER BY bytes DESC, 1

-- name: span
-- The first and the last hour that any camera counted; NULL: none has.
SELECT min(h.first), max(h.last)
FROM retail.sensor_metadata AS s
-- By the primary key of each partition: the whole table would take a second for each year.
CROSS JOIN LATERAL (
  SELECT (SELECT r.timestamp FROM retail.people_counting_raw AS r WHERE r.sensor_id = s.id ORDER BY r.timestamp LIMIT 1) AS first,
    (SELECT r.timestamp FROM retail.people_counting_raw AS r WHERE r.sensor_id = s.id ORDER BY r.timestamp DESC LIMIT 1) AS last
) AS h

-- name: other_sessions
-- Connections of this project to this database besides the one that asks.
SELECT count(*)::integer
FROM pg_catalog.pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND starts_with(application_name, 'retail_sensors')

-- name: views_of_others
-- Views outside of the schema that read it: dropping the schema would drop them.
SELECT DISTINCT quote_ident(n.nspname) || '.' || quote_ident(v.relname)
FROM pg_catalog.pg_depend AS d
JOIN pg_catalog.pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_catalog.pg_class AS v ON v.oid = r.ev_class
JOIN pg_catalog.pg_namespace AS n ON n.oid = v.relnamespace
JOIN pg_catalog.pg_class AS t ON d.refclassid = 'pg_class'::regclass AND t.oid = d.refobjid
JOIN pg_catalog.pg_namespace AS o ON o.oid = t.relnamespace
WHERE o.nspname = 'retail' AND n.nspname <> 'retail'
ORDER BY 1

-- name: other_relations_of_public
-- What schema public holds besides the table of the revision.
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relname <> 'retail_alembic_version'
ORDER BY 1

-- name: guarded_tables
-- Tables whose policies bind the role that asks, and whether they show it every row; none: it stands above policies.
SELECT c.relname::text, NOT EXISTS (
    SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = c.oid AND p.polcmd IN ('r', '*') AND NOT p.polpermissive
  ) AND EXISTS (
    SELECT FROM pg_catalog.pg_policy AS p, unnest(p.polroles) AS r (role)
    WHERE p.polrelid = c.oid AND p.polcmd IN ('r', '*') AND p.polpermissive
      AND pg_get_expr(p.polqual, p.polrelid) = 'true' AND (r.role = 0 OR pg_has_role(r.role, 'USAGE'))
  ) AS is_shown_whole
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'retail' AND c.relkind IN ('r', 'p') AND row_security_active(c.oid)
ORDER BY 1
