"""How long rows are kept, and where they go."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_sql_file("migrations/0018_retention.sql")


def downgrade() -> None:
    run_sql_file("migrations/0018_retention.down.sql")
