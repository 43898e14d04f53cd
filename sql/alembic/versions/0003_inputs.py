"""Till feed, staff, weather, holidays and counted queues."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql_file("migrations/0003_inputs.sql")


def downgrade() -> None:
    run_sql_file("migrations/0003_inputs.down.sql")
