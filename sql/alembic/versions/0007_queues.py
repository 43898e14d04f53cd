"""Queues at the tills by hour and by day."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql_file("migrations/0007_queues.sql")


def downgrade() -> None:
    run_sql_file("migrations/0007_queues.down.sql")
