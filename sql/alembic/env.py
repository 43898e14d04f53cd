"""Runs the migrations on the connection that `retail_sensors.storage.migrations` hands over.

Offline (`--sql`) they are printed as a script instead.
"""

from alembic import context

from retail_sensors.storage.migrations import VERSION_TABLE

if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, literal_binds=True, **VERSION_TABLE
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    # One transaction over all revisions: a failure leaves the former state.
    context.configure(connection=context.config.attributes["connection"], **VERSION_TABLE)
    with context.begin_transaction():
        context.run_migrations()
