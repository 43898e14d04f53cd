"""What stood out in the counts."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql_file("migrations/0009_anomalies.sql")


def downgrade() -> None:
    run_sql_file("migrations/0009_anomalies.down.sql")
