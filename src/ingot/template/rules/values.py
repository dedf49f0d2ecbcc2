"""Durations that must be more than nothing and less than a year, and package names that are one word."""

from __future__ import annotations

from collections.abc import Iterator

from ingot.records.problem import ProblemCode
from ingot.template.rules.walk import Mapped, get_map, get_text, list_maps, list_texts
from ingot.template.tree import Finding, Loc, show
from ingot.template.words import is_duration, parse_duration


def check_values(document: Mapped) -> Iterator[Finding]:
    for loc, text in _durations(document):
        seconds = parse_duration(text)
        if is_duration(text) and (seconds is None or seconds <= 0):
            message = f"{show(text)} is not between 1ns and 366 days"
            yield Finding(loc, ProblemCode.OUT_OF_RANGE, message)
    yield from _check_packages(get_map(document, "build"))


def _durations(document: Mapped) -> Iterator[tuple[Loc, str]]:
    yield ("build", "timeout"), get_text(get_map(document, "build"), "timeout")
    for loc, app in list_maps(document, "apps"):
        for field in ("every", "timeout"):
            yield (*loc, "health", field), get_text(get_map(app, "health"), field)
    for loc, trigger in list_maps(document, "triggers"):
        for section, fields in (("source", ("interval", "duration")), ("dedup", ("debounce", "cooldown"))):
            for field in fields:
                yield (*loc, section, field), get_text(get_map(trigger, section), field)
        for place, action in list_maps(trigger, "actions", loc):
            yield (*place, "timeout"), get_text(action, "timeout")


def _check_packages(build: Mapped) -> Iterator[Finding]:
    """A package is one argument of its package manager, never an option of it."""
    for manager in ("apt", "pip", "npm"):
        for loc, package in list_texts(build, manager, ("build",)):
            if package.startswith("-") or not package.strip() or "\n" in package:
                message = f"{show(package)} is no package: write one package a line, without options"
                yield Finding(loc, ProblemCode.INVALID_FORMAT, message)
