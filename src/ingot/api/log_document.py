"""A finished log as a file: NDJSON or plain text with a length, a name to save it by, and byte ranges.

It is converted block by block as it is sent, never held whole; its length is found by converting it once before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from ingot.api.client_side import ClientSide
from ingot.api.connection import Header
from ingot.api.stream_format import CONTENT_TYPES, Format, Selection, convert, parse_range
from ingot.api.stream_request import Start, StreamQuery
from ingot.events.log import StoredLog

_TURN = 4


def is_document(query: StreamQuery, start: Start, log: StoredLog) -> bool:
    """The whole of a finished log is asked for, in a format that files have."""
    return query.format is not Format.SSE and log.terminal is not None and start.seq == 0


async def send_document(
    log: StoredLog,
    query: StreamQuery,
    reader: ClientSide,
    headers: list[Header],
    range_header: str | None,
    *,
    only_headers: bool,
) -> None:
    """Answers 200 with everything, 206 with the range asked for, or 416 when there is nothing there."""
    length = sum([len(content) async for content in _contents(log, query)])
    wanted = parse_range(range_header, length)
    begin, end = wanted or (0, length)
    head = [*headers, (b"accept-ranges", b"bytes")]
    if begin >= length:
        await reader.begin(
            [*head, (b"content-range", b"bytes */%d" % length), (b"content-length", b"0")],
            only_headers=True,
            content_type=CONTENT_TYPES[query.format],
            status=416,
        )
        return
    if wanted is not None:
        head.append((b"content-range", b"bytes %d-%d/%d" % (begin, end - 1, length)))
    if query.download:
        name = f"build-{log.terminal.id.attempt if log.terminal else 0}.{_EXTENSION[query.format]}"
        head.append((b"content-disposition", f'attachment; filename="{name}"'.encode()))
    head.append((b"content-length", b"%d" % (end - begin)))
    await reader.begin(
        head,
        only_headers=only_headers,
        content_type=CONTENT_TYPES[query.format],
        status=200 if wanted is None else 206,
    )
    if not only_headers:
        reader.watch()
        await _send_part(log, query, reader, begin, end)


async def last_wanted(log: StoredLog, selection: Selection, count: int) -> Start:
    """Where the last `count` wanted frames begin."""
    for begin in reversed(log.block_begins()):
        block = await log.read_block(begin)
        found = selection.count(block)
        if found >= count:
            seq = selection.first_of_last(block, count)
            return Start(seq, "gap" if seq else "start")
        count -= found
    return Start(0, "start")


_EXTENSION = {Format.NDJSON: "ndjson", Format.TEXT: "log"}


async def _contents(log: StoredLog, query: StreamQuery) -> AsyncIterator[bytes]:
    """The document, a block of the log at a time."""
    cursor, turn = log.cursor(0), 0
    while batch := await cursor.read():
        turn += 1
        if turn % _TURN == 0:
            await asyncio.sleep(0)
        yield convert(batch, query.format, query.selection)


async def _send_part(log: StoredLog, query: StreamQuery, reader: ClientSide, begin: int, end: int) -> None:
    place = 0
    async for content in _contents(log, query):
        part = content[max(0, begin - place) : max(0, end - place)]
        place += len(content)
        if part and not reader.is_over:
            await reader.write(part)
        if place >= end or reader.is_over:
            break
    if place >= end:
        await reader.end(long_retry=False)
    else:
        await reader.break_off()
