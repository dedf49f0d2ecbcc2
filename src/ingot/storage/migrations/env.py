"""How alembic reaches the database: over the connection, and in the transaction, that `migrate` gives it."""

from alembic import context

from ingot.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
)
context.run_migrations()
