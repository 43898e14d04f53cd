-- Policies and what they find: retail_sensors/storage/retention.py. Partitions and tables whose names vary are named there.

-- name: policies
-- All policies, by table.
SELECT table_name, action, days_to_keep, restored_until, description FROM retail.retention_policies ORDER BY table_name

-- name: set_policy
-- Sets what becomes of a table's old rows.
UPDATE retail.retention_policies
SET action = %(action)s::text, days_to_keep = %(days)s::integer
WHERE table_name = %(table)s::text

-- name: pin
-- Nothing of the table goes until :until, because a month was restored.
UPDATE retail.retention_policies
SET restored_until = greatest(restored_until, %(until)s::timestamptz)
WHERE table_name = %(table)s::text

-- name: try_lock
-- Whether nobody else applies policies or restores; held until unlocked, or until the connection ends.
SELECT pg_try_advisory_lock(hashtextextended('retail retention', 0))

-- name: unlock
-- Lets others apply policies.
SELECT pg_advisory_unlock(hashtextextended('retail retention', 0))

-- name: partitions
-- The partitions of a table, the oldest month first by their names.
SELECT c.relname::text
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = format('retail.%%I', %(table)s::text)::regclass
ORDER BY 1

-- name: stored_columns
-- The columns of a table that hold what was written, in order: not those that Postgres computes from others.
SELECT a.attname::text
FROM pg_catalog.pg_attribute AS a
WHERE a.attrelid = format('retail.%%I', %(table)s::text)::regclass
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
ORDER BY a.attnum

-- name: owners
-- The columns of a table that name a camera, a store or an organization, and the table of those.
SELECT a.attname::text, c.relname::text
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.confrelid
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = k.conkey[1]
WHERE k.conrelid = format('retail.%%I', %(table)s::text)::regclass AND k.contype = 'f' AND k.conparentid = 0
  AND cardinality(k.conkey) = 1 AND c.relname IN ('sensor_metadata', 'stores', 'organizations')
ORDER BY a.attnum

-- name: oldest_writer
-- The oldest transaction that had not ended as this one began to read: what a later one writes, this one does not see.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint

-- name: revision
-- The revision of the database.
SELECT version_num FROM public.retail_alembic_version

-- name: months_without_raw_rows
-- Months from :start to :end whose counts of people are not in the database any more, though figures were made of them.
SELECT to_char(m.month, 'YYYY-MM')
FROM generate_series(date_trunc('month', %(start)s::timestamptz), %(end)s::timestamptz - interval '1 microsecond',
  interval '1 month') AS m (month)
WHERE to_regclass('retail.people_counting_raw_' || to_char(m.month, '"y"YYYY"m"MM')) IS NULL
  AND EXISTS (
    SELECT FROM retail.hourly_analytics AS h
    WHERE h.hour_start >= greatest(m.month, %(start)s) AND h.hour_start < least(m.month + interval '1 month', %(end)s)
      AND h.data_completeness > 0)
ORDER BY 1
