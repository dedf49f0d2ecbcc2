"""Brings a database to the newest schema. Numbered revisions in `versions/` are only ever added to.

alembic is imported only when there is something to migrate: it costs more than half a second.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from ingot.errors import HostError

HEAD = "0007"
"""The newest revision in `versions/` (a test compares them)."""


def migrate(connection: Connection, path: Path) -> None:
    """Upgrades in one transaction, all or nothing. Raises HostError for a database of a newer Ingot; `path` is for
    that message."""
    with connection.begin():
        stored = _stored_revision(connection)
        if stored == HEAD:
            return
        if stored is not None and stored > HEAD:
            raise HostError(
                f"the database {path} was written by a newer Ingot (schema {stored}, this one knows {HEAD})",
                hint="start the newer version again, or another data directory",
            )
        _upgrade(connection)


def _stored_revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    stored = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if stored is None else str(stored)


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
