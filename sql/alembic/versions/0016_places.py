"""Where cameras hang, their groups and tags, and what was changed of the fleet."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_sql_file("migrations/0016_places.sql")


def downgrade() -> None:
    run_sql_file("migrations/0016_places.down.sql")
