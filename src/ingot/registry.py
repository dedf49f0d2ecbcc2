"""Published templates: names → documents and their digests, for each account, and the curated ones for all.

What is published under a ref never changes, unless its owner forces it. The registry builds nothing; it looks at
builds only to refuse or supersede while one runs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from importlib import resources
from typing import Any

import semver
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, or_, select, update

from ingot.errors import ConflictError, ForbiddenError, NotFoundError, UnprocessableError
from ingot.records.build import BuildState
from ingot.records.item import Item
from ingot.records.ref import RESERVED_NAMESPACES, Ref, is_name
from ingot.storage.clock import Clock, now_ms
from ingot.storage.database import Database
from ingot.storage.tables import CURATED_ACCOUNT, builds, templates
from ingot.template import Publication, parse_template

CURATED_NAMESPACE = "system"

_UNFINISHED = tuple(state.value for state in BuildState if not state.is_over)


class Registry:
    """`start` before anything else. Safe to call from any task; every change is one transaction."""

    def __init__(self, db: Database, clock: Clock = now_ms) -> None:
        self._db = db
        self._clock = clock

    async def start(self) -> None:
        """Brings the curated templates (`system/…`) to what this package ships."""
        shipped = await asyncio.to_thread(load_curated)
        await self._db.run(lambda connection: self._curate(connection, shipped))

    async def publish(self, account: str, namespace: str, publication: Publication, force: bool = False) -> Item:
        """Publishes a document as `namespace/name@version`; durable when it returns.

        The same content again: the item as it was, `created` False. Other content at the ref: ConflictError
        `version_exists`, or with `force` it is replaced, and the ids of the builds of the old content, which
        are marked to be cancelled, are in `superseded`: wake the queue then. `force` with the same content
        publishes it anew and lets its builds be. Raises ForbiddenError for a reserved namespace,
        UnprocessableError for one that is not a name.
        """
        check_namespace(namespace)
        template = publication.template
        ref = Ref(namespace, template.name, template.version)
        document = json.dumps(publication.canonical, ensure_ascii=False)

        def store(connection: Connection) -> Item:
            known = _row(connection, account, ref)
            if known is not None and not force:
                if known.digest == template.digest:
                    return _item(known)
                raise ConflictError(
                    f"{ref} is published already, with other content",
                    hint="raise its version, or replace it with force",
                    code="version_exists",
                )
            superseded = () if known is None else _supersede(connection, account, ref, template.digest)
            return _put(connection, account, ref, template.digest, document, self._clock(), superseded)

        return await self._db.run(store)

    async def get(self, account: str, ref: Ref) -> Item:
        """Raises NotFoundError for what is not there or not the account's."""
        row = await self._db.run(lambda connection: _row(connection, _owner(account, ref.namespace), ref))
        if row is None:
            raise _missing(ref)
        return _item(row)

    async def versions(self, account: str, namespace: str, name: str) -> tuple[Item, ...]:
        """All versions of a template, newest first as semantic versions go. Raises NotFoundError for none."""
        same = and_(
            templates.c.account == _owner(account, namespace),
            templates.c.namespace == namespace,
            templates.c.name == name,
        )
        items = await self._select(same)
        if not items:
            raise NotFoundError(f"there is no template {namespace}/{name}", hint="`ingot ls` lists what there is")
        return tuple(sorted(items, key=lambda item: version_order(item.ref.version), reverse=True))

    async def list(self, account: str, namespace: str | None = None) -> tuple[Item, ...]:
        """What the account can use, sorted by ref: its own and the curated templates, or those of a namespace."""
        visible = or_(templates.c.account == account, templates.c.account == CURATED_ACCOUNT)
        if namespace is not None:
            visible = and_(templates.c.account == _owner(account, namespace), templates.c.namespace == namespace)
        return tuple(sorted(await self._select(visible), key=lambda item: str(item.ref)))

    async def delete(self, account: str, ref: Ref) -> None:
        """Takes a template back; its attempts stay in the history. Raises ForbiddenError for a reserved namespace,
        NotFoundError, and ConflictError `building` while it builds."""
        check_namespace(ref.namespace)

        def remove(connection: Connection) -> None:
            if _row(connection, account, ref) is None:
                raise _missing(ref)
            if connection.execute(select(builds.c.id).where(_builds_of(account, ref))).first() is not None:
                raise ConflictError(
                    f"{ref} is being built", hint="cancel the build and wait for its end first", code="building"
                )
            connection.execute(delete(templates).where(_is(account, ref)))

        await self._db.run(remove)

    async def _select(self, condition: ColumnElement[bool]) -> tuple[Item, ...]:
        query = select(templates).where(condition)
        rows = await self._db.run(lambda connection: connection.execute(query).all())
        return tuple(_item(row) for row in rows)

    def _curate(self, connection: Connection, shipped: Iterable[Publication]) -> None:
        curated = templates.c.account == CURATED_ACCOUNT
        gone = {_item(row).ref for row in connection.execute(select(templates).where(curated))}
        for publication in shipped:
            template = publication.template
            ref = Ref(CURATED_NAMESPACE, template.name, template.version)
            gone.discard(ref)
            known = _row(connection, CURATED_ACCOUNT, ref)
            if known is None or known.digest != template.digest:
                document = json.dumps(publication.canonical, ensure_ascii=False)
                _put(connection, CURATED_ACCOUNT, ref, template.digest, document, self._clock(), ())
        for ref in gone:
            connection.execute(delete(templates).where(_is(CURATED_ACCOUNT, ref)))


def check_namespace(namespace: str) -> None:
    """Raises ForbiddenError for a reserved namespace, UnprocessableError for what is no name."""
    if namespace in RESERVED_NAMESPACES:
        raise ForbiddenError(
            f"the namespace {namespace!r} is reserved", hint="publish to one of your own", code="reserved_namespace"
        )
    if not is_name(namespace):
        raise UnprocessableError(
            f"{namespace!r} is not a namespace",
            hint="use lower-case letters, digits and inner dashes, up to 64",
            code="bad_namespace",
        )


def version_order(version: str) -> tuple[semver.Version, str]:
    """A sort key: semantic order; versions that differ in their build part only, by that part."""
    parsed = semver.Version.parse(version)
    return parsed, parsed.build or ""


def load_curated() -> tuple[Publication, ...]:
    """The curated templates of this package, sorted by file name. Blocking."""
    folder = resources.files("ingot").joinpath("system_templates")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return tuple(parse_template(file.read_bytes(), file_name=file.name) for file in files)


def _owner(account: str, namespace: str) -> str:
    return CURATED_ACCOUNT if namespace == CURATED_NAMESPACE else account


def _is(account: str, ref: Ref) -> ColumnElement[bool]:
    return and_(
        templates.c.account == account,
        templates.c.namespace == ref.namespace,
        templates.c.name == ref.name,
        templates.c.version == ref.version,
    )


def _builds_of(account: str, ref: Ref) -> ColumnElement[bool]:
    return and_(
        builds.c.account == account,
        builds.c.namespace == ref.namespace,
        builds.c.name == ref.name,
        builds.c.version == ref.version,
        builds.c.state.in_(_UNFINISHED),
    )


def _row(connection: Connection, account: str, ref: Ref) -> Row[Any] | None:
    return connection.execute(select(templates).where(_is(account, ref))).first()


def _supersede(connection: Connection, account: str, ref: Ref, digest: str) -> tuple[str, ...]:
    """Marks the unfinished builds of other content to be cancelled. One whose end is decided is left to it."""
    old = and_(_builds_of(account, ref), builds.c.digest != digest, ~builds.c.sealed)
    marked = update(builds).where(old).values(cancel_requested=True).returning(builds.c.id)
    return tuple(connection.scalars(marked))


def _put(
    connection: Connection, account: str, ref: Ref, digest: str, document: str, now: int, superseded: tuple[str, ...]
) -> Item:
    connection.execute(delete(templates).where(_is(account, ref)))
    values = {
        "account": account,
        "namespace": ref.namespace,
        "name": ref.name,
        "version": ref.version,
        "digest": digest,
        "document_json": document,
        "published_ms": now,
    }
    row = connection.execute(insert(templates).values(values).returning(*templates.c)).one()
    return _item(row, created=True, superseded=superseded)


def _item(row: Row[Any], *, created: bool = False, superseded: tuple[str, ...] = ()) -> Item:
    return Item(
        ref=Ref(row.namespace, row.name, row.version),
        digest=row.digest,
        published_ms=row.published_ms,
        document=json.loads(row.document_json),
        created=created,
        superseded=superseded,
    )


def _missing(ref: Ref) -> NotFoundError:
    return NotFoundError(f"there is no template {ref}", hint="`ingot ls` lists what there is")
