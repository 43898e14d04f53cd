"""The remaining columns of the hourly and daily figures."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql_file("migrations/0008_figures.sql")


def downgrade() -> None:
    run_sql_file("migrations/0008_figures.down.sql")
