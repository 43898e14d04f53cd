"""Figures of regions, and modelled flows between regions and cameras."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql_file("migrations/0006_regions_and_flows.sql")
    for view in ("unified_store_metrics", "camera_coordination_status"):
        run_sql_file(f"views/{view}.sql")


def downgrade() -> None:
    run_sql_file("migrations/0006_regions_and_flows.down.sql")
