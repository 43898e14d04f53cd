"""Runs the migrations on the connection that `retail_sensors.storage.migrations` hands over.

Offline (`--sql`) they are printed as a script instead.
"""

from alembic import context

# The version table stands in `public`: a downgrade drops schema `retail` and must still be recorded.
_VERSION_TABLE = "retail_alembic_version"

if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, version_table=_VERSION_TABLE, literal_binds=True
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    # One transaction over all revisions: a failure leaves the former state.
    context.configure(connection=context.config.attributes["connection"], version_table=_VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()
