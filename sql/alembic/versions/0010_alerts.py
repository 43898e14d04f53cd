"""Alert rules and alerts."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql_file("migrations/0010_alerts.sql")


def downgrade() -> None:
    run_sql_file("migrations/0010_alerts.down.sql")
