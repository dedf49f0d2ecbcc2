"""What a check is, and how checks are run: each once, several at a time, every one to its end or its deadline."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ingot.conformance.subject import Subject

_AT_ONCE = 6
T = TypeVar("T")


class Violation(AssertionError):  # noqa: N818  what it is called in the field
    """The server does not keep the contract; the text says how."""


class Skipped(Exception):  # noqa: N818  not an error
    """The check cannot be made on this server; the text says what it lacks."""


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


Run = Callable[["Subject"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """`name` is `group.what`, `sentence` what is checked. `core` checks take seconds. One that is `alone` runs while no
    other does. `deadline` in seconds."""

    name: str
    sentence: str
    run: Run
    core: bool = True
    alone: bool = False
    deadline: float = 180


@dataclass(frozen=True, slots=True)
class Finding:
    """How one check came out. `detail` says what is wrong or lacking; `seconds` is how long it took."""

    check: Check
    outcome: Outcome
    detail: str
    seconds: float


CHECKS: list[Check] = []
"""All checks, in the order of the contract."""


def check(name: str, *, core: bool = True, alone: bool = False, deadline: float = 180) -> Callable[[Run], Run]:
    """Makes a coroutine function a check; its docstring is the sentence it checks."""

    def register(run: Run) -> Run:
        sentence = " ".join((run.__doc__ or "").split())
        CHECKS.append(Check(name, sentence, run, core, alone, deadline))
        return run

    return register


def must(condition: object, message: str) -> None:
    """Raises Violation with the message unless the condition holds."""
    if not condition:
        raise Violation(message)


def chosen(checks: Sequence[Check], *, core: bool, only: Collection[str]) -> list[Check]:
    """The checks wanted: `only` are names or groups (`resume`); ValueError for one that there is none of."""
    known = {check.name for check in checks} | {check.name.partition(".")[0] for check in checks}
    if unknown := sorted(set(only) - known):
        raise ValueError(f"there is no check or group {', '.join(unknown)}")
    wanted = [check for check in checks if not only or check.name in only or check.name.partition(".")[0] in only]
    return [check for check in wanted if check.core or not core or check.name in only]


async def run_checks(
    checks: Sequence[Check], subject: Subject, on_finding: Callable[[Finding], None] = lambda _: None
) -> list[Finding]:
    """Runs the checks and returns the findings in the order of `checks`; each is told as it comes."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def run(check: Check) -> Finding:
        async with turns:
            finding = await _run(check, subject)
        on_finding(finding)
        return finding

    together = [check for check in checks if not check.alone]
    findings = await asyncio.gather(*(run(check) for check in together))
    findings += [await run(check) for check in checks if check.alone]
    return sorted(findings, key=lambda finding: checks.index(finding.check))


async def _run(check: Check, subject: Subject) -> Finding:
    began, outcome, detail = time.monotonic(), Outcome.PASSED, ""
    try:
        async with asyncio.timeout(check.deadline):
            await check.run(subject)
    except Skipped as why:
        outcome, detail = Outcome.SKIPPED, str(why)
    except TimeoutError:
        outcome, detail = Outcome.FAILED, f"not done after {time.monotonic() - began:.0f} s"
    except Violation as wrong:
        outcome, detail = Outcome.FAILED, str(wrong)
    except Exception as error:  # whatever a server answers that is no Ingot, the other checks go on
        outcome, detail = Outcome.FAILED, f"{type(error).__name__}: {error}"
    return Finding(check, outcome, detail, time.monotonic() - began)


async def together(*running: Coroutine[Any, Any, T]) -> list[T]:
    """The results of all; when one fails the others are ended and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in running]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [task.result() for task in tasks]


@contextlib.asynccontextmanager
async def within(seconds: float, what: str) -> AsyncIterator[None]:
    """A Violation unless the block ends in time; `what` should have happened."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Violation(f"{what}: not within {seconds:g} s") from None
