"""Figures of regions, and modelled flows between regions and cameras."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql_file("migrations/0006_regions_and_flows.sql")


def downgrade() -> None:
    run_sql_file("migrations/0006_regions_and_flows.down.sql")
