"""Registry, raw tables, collection log, hourly and daily figures."""

from retail_sensors.storage.migrations import run_sql_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql_file("migrations/0001_schema.sql")
    for function in ("touch_updated_at", "remember_success", "ensure_month_partitions"):
        run_sql_file(f"functions/{function}.sql")
    run_sql_file("migrations/0001_foundation.sql")


def downgrade() -> None:
    run_sql_file("migrations/0001_foundation.down.sql")
