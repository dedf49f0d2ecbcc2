"""What becomes of a process's bytes: hostile lines, prompts, secrets, and more output than is kept."""

from __future__ import annotations

import json
import secrets
from base64 import b64encode
from collections.abc import Sequence
from urllib.parse import quote

from ingot.conformance.checking import check, must
from ingot.conformance.frames import LONGEST_LINE
from ingot.conformance.subject import Recorded, Subject

_HOSTILE = r"""
echo begin
printf 'over\rwritten\n'
printf 'dos line\r\n'
printf 'n\000u\007l\n'
printf 'sep\342\200\250arated\n'
printf 'bad \377 byte\n'
printf '\033[31mred\033[0m \033[2Jcleared\n'
printf 'data: {"line":"forged","result":"ready"}\n\nid: 9-9\nevent: forged\n'
printf 'tab\there "quoted" back\\slash\n'
printf '\360\237\224\245 fire\n'
echo end
"""
_SHOWN = [
    "begin",
    "written",
    "dos line",
    "nul",
    "sep\u2028arated",
    "bad \ufffd byte",
    "\x1b[31mred\x1b[0m cleared",
    'data: {"line":"forged","result":"ready"}',
    "",
    "id: 9-9",
    "event: forged",
    'tab\there "quoted" back\\slash',
    "\U0001f525 fire",
    "end",
]
_CANARY = "conformance_canary"
_PADDING = "as long as the lines are that tools print when they tell what they do"
_PIECES = (
    'awk -v s="$CONFORMANCE_CANARY" \'BEGIN { for (i = 1; i < length(s); i++) '
    '{ printf "%s", substr(s, 1, i); fflush(); system("sleep 0.02"); print substr(s, i + 1) } }\''
)


@check("output.hostile")
async def hostile(subject: Subject) -> None:
    """No output forges a frame: CR, NUL, U+2028, invalid UTF-8, escapes and look-alikes come out as lines."""
    build = await subject.whole(await subject.build(_HOSTILE))
    lines = _lines(build)
    shown = lines[lines.index("begin") : lines.index("end") + 1]
    must([line for line in shown if line != "over"] == _SHOWN, f"the lines are {shown}")


@check("output.long_line")
async def long_line(subject: Subject) -> None:
    """A line of 1 MB without an end is split, at 16 KiB, and nothing of it is lost."""
    build = await subject.whole(await subject.build("head -c 1000000 /dev/zero | tr '\\0' x; echo; echo behind it"))
    pieces = [line for line in _lines(build) if line and set(line) == {"x"}]
    must(sum(map(len, pieces)) == 1_000_000, f"{sum(map(len, pieces))} of 1000000 characters came")
    must(max(map(len, pieces)) <= LONGEST_LINE, "a line is longer than 16 KiB")
    must("behind it" in _lines(build), "the line behind it is missing")


@check("output.prompt")
async def prompt(subject: Subject) -> None:
    """A line that is not ended is shown after a second."""
    path = await subject.build("echo first; printf 'Password: '; sleep 8; echo")
    async with subject.stream(path) as stream:
        await stream.until(b'"line":"first"')
        await stream.until(b'"line":"Password: "', 4)


@check("output.secrets")
async def hidden(subject: Subject) -> None:
    """A secret is `***`, also when it comes in two pieces, cut at any place, in base64, in JSON or in a URL."""
    value = f'{secrets.token_hex(6)}/"quoted" {secrets.token_hex(6)}+='
    await subject.make_secret(_CANARY, value)
    encoded = ['printf %s "$CONFORMANCE_CANARY" | base64 -w0', 'printf "x%s" "$CONFORMANCE_CANARY" | base64 -w0']
    steps = ['echo "$CONFORMANCE_CANARY"', _PIECES, *(f"{step}; echo" for step in encoded)]
    build = await subject.whole(await subject.build("; ".join(steps), secrets=[_CANARY]))
    text = "\n".join(_lines(build))
    must(text.count("***") >= len(value) + 2, f"*** is there {text.count('***')} times")
    forms = [value, b64encode(value.encode()).decode()[:-4], json.dumps(value)[1:-1], quote(value, safe="")]
    for form in forms:
        must(form not in text, "the secret is in the stream")
    must(b64encode(b"x" + value.encode()).decode()[4:-4] not in text, "the secret is in the stream in base64")


@check("output.caps", core=False, alone=True, deadline=300)
async def caps(subject: Subject) -> None:
    """Of a flood the first 16 MiB and the last 256 KiB are kept, with a warning that tells what is left out, and the
    failure behind it."""
    flood = f"seq -f 'flood %010.0f {_PADDING}' 1 400000"
    build = await subject.whole(await subject.build(f"{flood}; echo the very end; exit 3"))
    lines = _lines(build)
    shown = [line for line in lines if line.startswith("flood ")]
    must("0000000001" in shown[0] and "0000400000" in shown[-1], "begin or end of the flood is missing")
    must("the very end" in lines, "the last line is missing")
    kept = sum(len(line) + 1 for line in shown)
    must(16 * 2**20 <= kept + 64 * 1024 <= 17 * 2**20, f"{kept} bytes were kept")
    must(sum(frame.data["level"] == "warn" for frame in build.frames) == 1, "there is not one warning")
    must(build.end.data["error"].get("exit_code") == 3, "the failure is another")


def _lines(build: Recorded) -> Sequence[str]:
    return [frame.line for frame in build.frames if not frame.is_end]
