"""Who reads and writes which rows."""

from alembic import op

from retail_sensors.storage.migrations import run_sql_file

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_sql_file("migrations/0019_access.sql")
    for function in (
        "current_user_id",
        "organizations_of_user",
        "stores_of_user",
        "sensors_of_user",
        "stores_around_user",
        "organizations_around_user",
        "ensure_month_partitions",
        "guard_tables",
    ):
        run_sql_file(f"functions/{function}.sql")
    op.execute("SELECT retail.guard_tables()")


def downgrade() -> None:
    run_sql_file("migrations/0019_access.down.sql")
