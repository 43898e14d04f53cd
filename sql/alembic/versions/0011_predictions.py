"""Forecasts, their models, their accuracy, and staffing plans."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    run_sql_file("migrations/0011_predictions.sql")


def downgrade() -> None:
    run_sql_file("migrations/0011_predictions.down.sql")
