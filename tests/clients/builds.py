"""Builds for clients to read: hostile output, and a live one with silences in it."""

from __future__ import annotations

import asyncio

from ingot.records.event import Phase
from tests.clients.readers import Events
from tests.service.event_stream_server import Stream, end

HOSTILE = (
    b"plain\nover\rwritten\rtwice\ndos\r\nn\0ul\x07\nsep\xe2\x80\xa8ar\xe2\x80\xa9ated\xc2\x85\nbad \xff\xfe byte\n"
    b"\x1b[31mred\x1b[0m \x1b[2Jcleared\n\n\ndata: forged\n\nid: 9-9\nevent: forged\nretry: 1\n: comment\n:\n"
    b'{"result":"ready"}\n\xf0\x9f\x94\xa5 fire \xef\xbb\xbf bom\n\xef\xbb\xbf\ntab\there "quoted" \\back\\slash\n'
    + b"x" * 1_000_000
    + b"\n</script><!--\n"
    + "zażółć gęślą jaźń 日本語\n".encode() * 50
)
_PIECE = 9_973  # cuts characters and escape sequences anywhere


async def hostile(stream: Stream) -> Events:
    """A finished build of hostile lines."""
    _, reporter = await stream.reporter()
    await reporter.enter(Phase.INSTALL)
    async with reporter.output("run") as output:
        await output.write(HOSTILE)
    await end(reporter)
    return stored_events(stream)


async def live(stream: Stream, lines: int = 300, pause: float = 0.005) -> None:
    """Writes a build while it is read: silences that are longer than a heartbeat, then the hostile lines in pieces."""
    _, reporter = await stream.reporter()
    await reporter.enter(Phase.INSTALL)
    async with reporter.output("run") as output:
        for number in range(lines):
            await output.write(b"line %d \xe2\x80\xa8 \r\n" % number)
            await asyncio.sleep(0.5 if number % 100 == 50 else pause)
        for start in range(0, len(HOSTILE), _PIECE):
            await output.write(HOSTILE[start : start + _PIECE])
            await asyncio.sleep(pause)
    await end(reporter)


def stored_events(stream: Stream) -> Events:
    """(id, data) of each event, from the log's file."""
    events = []
    for frame in stream.stored().decode().split("\n\n")[:-1]:
        head, _, data = frame.partition("\n")
        events.append((head.removeprefix("id: "), data.removeprefix("data: ")))
    return events
