"""A timeline in a YAML file. Errors name the file, the line and the field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from longtake.errors import UserError
from longtake.timeline import Cue, CueError, Timeline

CUE_FIELDS = ("prompt", "at", "at_chunk", "transition")


def read_storyboard(path: Path) -> Timeline:
    """Read `cues: [{at: 0, prompt: …}, {at_chunk: 4, prompt: …, transition: 2}]`.

    Raises:
        UserError: the file cannot be read or is not such a storyboard; one line, `file:line: field: problem`.
    """
    root = _compose(path)
    fields = _mapping(path, root, "storyboard", ("cues",))
    if "cues" not in fields:
        raise _error(path, root, "cues", "missing; give a list of cues")
    nodes = fields["cues"]
    if not isinstance(nodes, yaml.SequenceNode):
        raise _error(path, nodes, "cues", "not a list; write `cues: [{at: 0, prompt: …}, …]`")
    if not nodes.value:
        raise _error(path, nodes, "cues", "none given; give at least one, with a prompt, at 0")
    entries = [_Entry(path, index, node) for index, node in enumerate(nodes.value)]
    cues = tuple(entry.cue() for entry in entries)
    try:
        return Timeline(cues=cues)
    except CueError as error:
        raise entries[error.index].error(error.field, error.problem) from error


class _Entry:
    """One cue of the file, with the place of each of its fields."""

    def __init__(self, path: Path, index: int, node: yaml.Node) -> None:
        self.path, self.index, self.node = path, index, node
        self.fields = _mapping(path, node, f"cues[{index}]", CUE_FIELDS)

    def cue(self) -> Cue:
        if "prompt" not in self.fields:
            raise self.error("prompt", "missing; say what is to be seen")
        values = {name: self._value(name) for name in self.fields}
        try:
            return Cue(**values)
        except CueError as error:
            raise self.error(error.field, error.problem) from error

    def error(self, field: str, problem: str) -> UserError:
        return _error(self.path, self.fields.get(field, self.node), f"cues[{self.index}].{field}", problem)

    def _value(self, field: str) -> Any:
        node = self.fields[field]
        if not isinstance(node, yaml.ScalarNode):
            raise self.error(field, "not a single value")
        try:
            value = yaml.SafeLoader("").construct_object(node)
        except (ValueError, yaml.YAMLError) as error:
            raise self.error(field, f"{node.value!r} is not a plain value") from error
        if value is None:
            raise self.error(field, "has no value")
        if field == "prompt" and not isinstance(value, str):
            raise self.error(field, f"{node.value} is not text; put it in quotes")
        return value


def _compose(path: Path) -> yaml.Node:
    """The file as YAML nodes, which know their lines."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise UserError(f"storyboard {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"storyboard {path} is not text in UTF-8; give a YAML file") from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "nested too deeply"
        raise UserError(f"{path}:{mark.line + 1 if mark else 1}: not valid YAML: {problem}") from error
    if root is None:
        raise UserError(f"{path}:1: cues: missing, the file is empty; give a list of cues")
    if isinstance(root, yaml.SequenceNode):
        raise _error(path, root, "storyboard", "a list, not a mapping; put a line cues: above it")
    return root


def _mapping(path: Path, node: yaml.Node, name: str, known: Sequence[str]) -> dict[str, yaml.Node]:
    """The fields of a mapping, each known and given once."""
    if not isinstance(node, yaml.MappingNode):
        raise _error(path, node, name, f"not a mapping; its fields are: {', '.join(known)}")
    fields: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value not in known:
            shown = key.value if isinstance(key, yaml.ScalarNode) else "(not a name)"
            raise _error(path, key, f"{name}.{shown}", f"unknown field; known: {', '.join(known)}")
        if key.value in fields:
            raise _error(path, key, f"{name}.{key.value}", "given twice")
        fields[key.value] = value
    return fields


def _error(path: Path, node: yaml.Node, field: str, problem: str) -> UserError:
    where = " ".join(field.split())  # a field name of the file may hold a line break
    return UserError(f"{path}:{node.start_mark.line + 1}: {where}: {problem}")
