-- Statements on Dagster's own storage, which keeps every event for ever.

-- name: delete_old_events
-- Events of before :before that no page of the UI needs: all but asset events, and asset materializations that a newer
-- one of the same asset and partition has superseded. The newest of each partition is what "materialized" means.
DELETE FROM event_logs AS e
WHERE e.timestamp < %(before)s
  AND (
    e.asset_key IS NULL
    OR e.dagster_event_type IS NULL
    OR e.dagster_event_type IN ('ASSET_MATERIALIZATION_PLANNED', 'HANDLED_OUTPUT', 'LOADED_INPUT')
    OR (
      e.dagster_event_type IN ('ASSET_MATERIALIZATION', 'ASSET_OBSERVATION')
      AND EXISTS (
        SELECT FROM event_logs AS newer
        WHERE newer.asset_key = e.asset_key
          AND newer.dagster_event_type = e.dagster_event_type
          AND newer.partition IS NOT DISTINCT FROM e.partition
          AND newer.id > e.id
      )
    )
  )

-- name: delete_orphaned_tags
-- Tags of asset events that are gone.
DELETE FROM asset_event_tags AS t WHERE NOT EXISTS (SELECT FROM event_logs AS e WHERE e.id = t.event_id)

-- name: delete_old_runs
-- Finished runs of before :before that no remaining event belongs to.
DELETE FROM runs AS r
WHERE r.create_timestamp < %(before)s
  AND r.status IN ('SUCCESS', 'FAILURE', 'CANCELED')
  AND NOT EXISTS (SELECT FROM event_logs AS e WHERE e.run_id = r.run_id)
