"""Alembic's entry: runs on the connection it is given, inside the caller's transaction."""

from alembic import context

from alcove.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    compare_type=True,
)
context.run_migrations()
