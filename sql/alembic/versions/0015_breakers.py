"""Cameras that are left alone for a while, and what finds late rows."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_sql_file("functions/forget_breaker.sql")
    run_sql_file("migrations/0015_breakers.sql")


def downgrade() -> None:
    run_sql_file("migrations/0015_breakers.down.sql")
