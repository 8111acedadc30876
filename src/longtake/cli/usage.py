"""Typer's usage errors in one plain line: what was given, what is accepted, where to read more."""

from __future__ import annotations

from pydantic import ValidationError
from typer import TyperException

_WORDS = {
    "float_parsing": "give a number",
    "int_parsing": "give a whole number",
    "int_parsing_size": "give a whole number that is not so long",
    "bool_parsing": "give true or false",
}


def explain(error: TyperException) -> str:
    """The message of a usage error, in one line."""
    context = getattr(error, "ctx", None)
    where = f"; see `{context.command_path} --help`" if context else ""
    return f"{_problem(error)}{where}"


def _problem(error: TyperException) -> str:
    option = _option(error)
    if isinstance(error.__cause__, ValidationError):
        first = error.__cause__.errors()[0]
        wanted = _WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ").rstrip(".")
        return f"{option} {_shorten(str(first['input']))!r}: {wanted}"
    message = error.format_message().rstrip(".")
    if message.startswith("Got unexpected extra argument"):
        return f"{message[4:]}; put words that belong together in quotes"
    return message[:1].lower() + message[1:].replace("(Possible options: ", "(did you mean: ")


def _shorten(value: str) -> str:
    return value if len(value) <= 60 else f"{value[:59]}…"


def _option(error: TyperException) -> str:
    """The longest spelling of the option or argument that the error is about."""
    parameter = getattr(error, "param", None)
    return max(parameter.opts, key=len) if parameter else ""
