"""Live functions and views."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0017"
down_revision = "0016"

_RULES = ("is_time_zone", "opening_hours_are_sound")
_FUNCTIONS = (
    "local_instant",
    "log_gamma",
    "incomplete_beta",
    "count_surprise",
    "erlang_c",
    "lanes_needed",
    "lanes_advice",
    "calculate_current_occupancy",
    "estimate_queue_metrics",
    "check_camera_health",
    "detect_anomalies",
)
_VIEWS = (
    "historical_analytics",
    "analytics_alerts",
    "camera_completeness",
    "mv_realtime_dashboard",
    "mv_historical_comparison",
    "table_sizes",
)


def upgrade() -> None:
    for function in _RULES:
        run_sql_file(f"functions/{function}.sql")
    run_sql_file("migrations/0017_live.sql")
    for function in _FUNCTIONS:
        run_sql_file(f"functions/{function}.sql")
    for view in _VIEWS:
        run_sql_file(f"views/{view}.sql")


def downgrade() -> None:
    run_sql_file("migrations/0017_live.down.sql")
