"""People-counting cameras as hour-partitioned Dagster assets in Postgres.

Four rooms, and imports run only downwards:

* orchestration (`definitions`, `assets`, `jobs`, `schedules`, `resources`, `cli`) knows Dagster,
* storage (`storage`, `io_managers`) knows Postgres and Dagster's IO manager contract,
* `connectors` knows HTTP and cameras; no Dagster, no database,
* `analytics` and `tables` know neither.
"""
