"""Runs the steps on the connection that `identity.storage.migrate` hands over."""

from alembic import context

from identity.storage import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
