"""What the database refuses and how long the rest is kept; functions that nobody's temporary types reach into."""

from alembic import op

from retail_sensors.storage.migrations import run_sql_file

revision = "0021"
down_revision = "0020"

_FUNCTIONS = (
    "calculate_current_occupancy",
    "check_camera_health",
    "count_surprise",
    "current_user_id",
    "detect_anomalies",
    "ensure_month_partitions",
    "erlang_c",
    "estimate_queue_metrics",
    "forget_breaker",
    "guard_tables",
    "incomplete_beta",
    "is_time_zone",
    "is_user_of_every_sensor",
    "is_user_of_most_stores",
    "lanes_advice",
    "lanes_needed",
    "local_instant",
    "log_gamma",
    "opening_hours_are_sound",
    "organizations_around_user",
    "organizations_of_user",
    "raise_alerts",
    "raise_alerts_duration",
    "raise_alerts_is_open",
    "raise_alerts_notice",
    "raise_alerts_observations",
    "raise_alerts_of_figures",
    "raise_alerts_text",
    "remember_success",
    "sensors_of_user",
    "stores_around_user",
    "stores_of_user",
    "touch_updated_at",
)
_VIEWS = (
    "camera_completeness",
    "historical_analytics",
    "mv_historical_comparison",
    "mv_realtime_dashboard",
    "table_sizes",
)


def upgrade() -> None:
    for function in _FUNCTIONS:
        run_sql_file(f"functions/{function}.sql")
    for view in _VIEWS:
        run_sql_file(f"views/{view}.sql")
    run_sql_file("migrations/0021_safeguards.sql")
    op.execute("SELECT retail.guard_tables()")


def downgrade() -> None:
    run_sql_file("migrations/0021_safeguards.down.sql")
