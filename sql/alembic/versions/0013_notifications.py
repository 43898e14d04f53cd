"""Where alerts are sent, and what was sent."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_sql_file("migrations/0013_notifications.sql")


def downgrade() -> None:
    run_sql_file("migrations/0013_notifications.down.sql")
