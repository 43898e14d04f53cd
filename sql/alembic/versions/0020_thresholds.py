"""Thresholds to alerts inside the database; rules on clocks and on counts set aside."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    for function in (
        "raise_alerts_severity",
        "raise_alerts_is_open",
        "raise_alerts_duration",
        "raise_alerts_observations",
        "raise_alerts_text",
        "raise_alerts",
        "raise_alerts_of_figures",
        "raise_alerts_notice",
    ):
        run_sql_file(f"functions/{function}.sql")
    run_sql_file("migrations/0020_thresholds.sql")


def downgrade() -> None:
    run_sql_file("migrations/0020_thresholds.down.sql")
