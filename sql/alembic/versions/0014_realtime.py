"""What the cameras count by the minute."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_sql_file("migrations/0014_realtime.sql")


def downgrade() -> None:
    run_sql_file("migrations/0014_realtime.down.sql")
