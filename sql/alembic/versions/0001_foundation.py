"""Registry, raw tables, collection log, hourly and daily figures."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql_file("migrations/0001_foundation.sql")


def downgrade() -> None:
    run_sql_file("migrations/0001_foundation.down.sql")
