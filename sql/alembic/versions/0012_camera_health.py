"""How each camera answers."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_sql_file("migrations/0012_camera_health.sql")


def downgrade() -> None:
    run_sql_file("migrations/0012_camera_health.down.sql")
