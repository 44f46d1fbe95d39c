"""Reading plain options without pydantic, which typer would load for each of them.

typer asks every parameter for a coercer (``get_runtime_param``), and building one imports
pydantic: a tenth of a second before any command begins. Text, flags, paths, whole numbers and
closed choices need none of it. Whatever is not plainly right is handed to typer's own coercer,
so that its errors and its rarer types stay what they are; should typer drop the method, only
the time is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

#: Words that show the help of a command.
HELP = ["--help", "-h"]


class Quick:
    """A coercer for one parameter: the plain case here, all others by typer's own."""

    def __init__(self, read: Callable[[Any], Any], own: Callable[[], Any]) -> None:
        self._read = read
        self._own = own

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """Return the value of an option as its type."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        try:
            return self._read(value)
        except (TypeError, ValueError):
            return self._own().coerce(value, param=param, ctx=ctx)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return [_text(v) for v in value]


def _path(value: Any) -> Path:
    return Path(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _choice(choices: tuple[Any, ...]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in choices:
            raise ValueError
        return value

    return read


def _whole(low: float | None, high: float | None) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = int(value)
        if (low is not None and number < low) or (high is not None and number > high):
            raise ValueError
        return number

    return read


def _reader(descriptor: Any) -> Callable[[Any], Any] | None:
    """Return how a value of this type is read, or None if typer is to do it."""
    kind, info = descriptor.annotation, descriptor.parameter_info
    if info.parser is not None or descriptor.is_file:
        return None
    if kind is str:
        return _text
    if kind is bool:
        return _flag
    if kind == list[str]:
        return _texts
    if kind is Path and not (info.exists or info.resolve_path or info.writable):
        return _path
    if kind is int and not info.clamp:
        return _whole(info.min, info.max)
    return _choice(get_args(kind)) if get_origin(kind) is Literal else None


def quicken(command: Any) -> Any:
    """Give the parameters of a command, and of all below it, quick coercers; returns it."""
    # Through get_params, since the option --help is made only there.
    for param in command.get_params(typer.Context(command, help_option_names=HELP)):
        read = _reader(param.type_descriptor)
        if read is not None:
            quick = Quick(read, param.get_runtime_param)
            param.get_runtime_param = lambda quick=quick: quick
    for child in getattr(command, "commands", {}).values():
        quicken(child)
    return command
