"""Estimates of missing hours."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql_file("migrations/0005_missing_data.sql")


def downgrade() -> None:
    run_sql_file("migrations/0005_missing_data.down.sql")
