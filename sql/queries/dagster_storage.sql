-- Statements on Dagster's own storage, which keeps every event for ever.

-- name: has_runs
-- Whether Dagster has made its tables yet.
SELECT to_regclass('runs') IS NOT NULL

-- name: begun_runs
-- Runs that the daemon had launched and that have not ended, the oldest first; not those of a process that runs a job by itself.
SELECT r.run_id
FROM runs AS r
WHERE r.status IN ('STARTING', 'STARTED')
  AND EXISTS (SELECT FROM run_tags AS t WHERE t.run_id = r.run_id AND t.key = '.dagster/grpc_info')
ORDER BY r.id

-- name: delete_old_run_events
-- Events of before :before that only a run's own page shows: steps, logs, inputs, outputs, what was planned or failed.
DELETE FROM event_logs AS e
WHERE e.timestamp < %(before)s
  AND (
    e.asset_key IS NULL
    OR e.dagster_event_type IS NULL
    OR e.dagster_event_type IN (
      'ASSET_MATERIALIZATION_PLANNED', 'ASSET_FAILED_TO_MATERIALIZE', 'HANDLED_OUTPUT', 'LOADED_INPUT')
  )

-- name: delete_superseded_events
-- Materializations and observations of before :before that a newer one of the same asset and partition has superseded.
-- The newest of each partition is what "materialized" means.
WITH newest AS MATERIALIZED (
  SELECT max(id) AS id
  FROM event_logs
  WHERE dagster_event_type IN ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION')
  GROUP BY asset_key, dagster_event_type, partition
)
DELETE FROM event_logs AS e
WHERE e.timestamp < %(before)s
  AND e.dagster_event_type IN ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION')
  AND NOT EXISTS (SELECT FROM newest AS n WHERE n.id = e.id)

-- name: delete_orphaned_tags
-- Tags of asset events that are gone.
DELETE FROM asset_event_tags AS t WHERE NOT EXISTS (SELECT FROM event_logs AS e WHERE e.id = t.event_id)

-- name: delete_old_runs
-- Finished runs of before :before that no remaining event belongs to.
DELETE FROM runs AS r
WHERE r.create_timestamp < %(before)s
  AND r.status IN ('SUCCESS', 'FAILURE', 'CANCELED')
  AND NOT EXISTS (SELECT FROM event_logs AS e WHERE e.run_id = r.run_id)

-- name: delete_old_check_records
-- Records of asset checks of before :before, and what ended runs planned for each of their partitions and did not evaluate by itself;
-- the newest of each check is its status.
WITH newest AS MATERIALIZED (
  SELECT max(id) AS id FROM asset_check_executions GROUP BY asset_key, check_name
)
DELETE FROM asset_check_executions AS c
WHERE NOT EXISTS (SELECT FROM newest AS n WHERE n.id = c.id)
  AND (
    c.create_timestamp < %(before)s
    OR c.execution_status = 'PLANNED'
      AND EXISTS (SELECT FROM runs AS r WHERE r.run_id = c.run_id AND r.status IN ('SUCCESS', 'FAILURE', 'CANCELED'))
  )
