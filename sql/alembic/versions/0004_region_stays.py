"""How long people stay in regions, as cameras answer it."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run_sql_file("migrations/0004_region_stays.sql")


def downgrade() -> None:
    run_sql_file("migrations/0004_region_stays.down.sql")
