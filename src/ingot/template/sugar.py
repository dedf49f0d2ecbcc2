"""Expands Orgo's short forms to canonical ones, on the tree, so that every value keeps its written place.

`name: foo@1.0.0`, `cpu`, `ram: 4gb`, `display: 1280x800`, hooks at the top level and a `files` map may be
mixed with canonical keys; the same field in both forms with different values is a conflict. `wallpaper` is
canonical where it stands (see document.py). Values are moved, never judged: the models do that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from ingot.records.problem import Problem, ProblemCode
from ingot.template.tree import Node, to_plain

_HOOKS = ("on_first_boot", "on_every_boot", "on_pre_snapshot", "on_resume", "on_shutdown")
_RAM = re.compile(r"[ ]*([0-9]{1,4})[ ]*(?:gb)?[ ]*", re.IGNORECASE)
_SIZE = re.compile(r"[0-9]+x[0-9]+")
_DEPTH = "x24"


def expand_sugar(written: Node) -> tuple[Node, list[Problem]]:
    """A new root in canonical form (a root that is no mapping is given back as it is), and the conflicts."""
    if not isinstance(written.value, dict):
        return written, []
    expansion = _Expansion(replace(written, value=dict(written.value)))
    expansion.name()
    expansion.hardware("cpu", "cpu", lambda node: node)
    expansion.hardware("ram", "ram_gb", _read_ram)
    expansion.hardware("display", "resolution", _read_display)
    expansion.hooks()
    expansion.files()
    return expansion.root, expansion.problems


class _Expansion:
    def __init__(self, root: Node) -> None:
        self.root = root
        self.problems: list[Problem] = []
        assert isinstance(root.value, dict)
        self._fields: dict[str, Node] = root.value

    def name(self) -> None:
        node = self._fields.pop("name", None)
        if node is None:
            return
        text = node.value if isinstance(node.value, str) else ""
        name, at, version = text.partition("@")
        self._put("template", "name", replace(node, value=name) if at else node)
        if at:
            self._put("template", "version", replace(node, value=version))

    def hardware(self, sugar: str, field: str, read: Callable[[Node], Node]) -> None:
        node = self._fields.pop(sugar, None)
        if node is not None:
            self._put("hardware", field, read(node))

    def hooks(self) -> None:
        for hook in _HOOKS:
            node = self._fields.pop(hook, None)
            if node is not None:
                self._put("hooks", hook, node)

    def files(self) -> None:
        files = self._fields.get("files")
        if files is not None and isinstance(files.value, dict):
            entries = [self._file(target, node) for target, node in files.value.items()]
            self._fields["files"] = replace(files, value=entries)

    def _file(self, target: str, node: Node) -> Node:
        to = Node(target, node.key_line, node.key_column, parent=node.parent, key=node.key)
        if not isinstance(node.value, dict):
            return replace(node, value={"to": to, "inline": node})
        stated = node.value.get("to")
        if stated is not None and stated.value != target:
            self._conflict(stated, "the target is the entry's own key; remove `to`")
        return replace(node, value={**node.value, "to": to})

    def _put(self, section: str, field: str, node: Node) -> None:
        """Puts a value into a section, which is made at the sugar's place where there is none."""
        old = self._fields.get(section)
        if old is None:
            old = Node({}, node.line, node.column, parent=self.root, key=section)
            old.key_line, old.key_column = node.key_place()
        if not isinstance(old.value, dict):
            return  # the models say what is wrong with the section
        stated = old.value.get(field)
        if stated is None:
            self._fields[section] = replace(old, value={**old.value, field: node})
        elif to_plain(stated) != to_plain(node):
            self._conflict(node, f"says something else than {stated.path()} at line {stated.line}: keep one of the two")

    def _conflict(self, node: Node, message: str) -> None:
        self.problems.append(Problem(node.path(), ProblemCode.CONFLICT, message, None, node.line, node.column))


def _read_ram(node: Node) -> Node:
    found = _RAM.fullmatch(node.value) if isinstance(node.value, str) else None
    return replace(node, value=int(found.group(1))) if found is not None else node


def _read_display(node: Node) -> Node:
    if isinstance(node.value, str) and _SIZE.fullmatch(node.value):
        return replace(node, value=node.value + _DEPTH)
    return node
