"""Key figures of stores by local day."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql_file("migrations/0002_kpi_metrics.sql")


def downgrade() -> None:
    run_sql_file("migrations/0002_kpi_metrics.down.sql")
