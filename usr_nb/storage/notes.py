"""``meta.md``: the dataset's notes; what a user wrote there is never touched (contract LAY-7)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from usr_nb.errors import ValidationError
from usr_nb.storage import door

_MAX_HEAD = 4096


def _line(text: str) -> str:
    return " ".join(text.split())


def initial_text(*, name: str, created_at: str, source: str, notes: str) -> str:
    """Return the first lines of ``meta.md``, up to the heading of the updates."""
    return (
        f"name: {name}\ncreated_at: {created_at}\nsource: {_line(source)}\n"
        f"notes: {_line(notes)}\nschema: USR v1\n\n### Updates ({created_at[:10]})\n"
    )


def note_text(note: Mapping[str, str]) -> str:
    """Return one update: a line with time and title, then the command in a fenced block."""
    command = note["command"].replace("```", "'''")
    return f"- {note['at']}: {_line(note['title'])}\n```bash\n{command}\n```\n"


def append_note(path: Path, note: Mapping[str, str], *, check: bool = False) -> None:
    """Append one update; with `check` only if the same text does not stand there yet."""
    text = note_text(note)
    if check:
        with contextlib.suppress(OSError):
            if text in path.read_text(encoding="utf-8", errors="replace"):
                return
    door.append(path, text.encode("utf-8", errors="backslashreplace"))


def read_name(path: Path) -> str | None:
    """Return the dataset id in the first line of ``meta.md``, or None if the file has none."""
    try:
        with path.open("rb") as f:
            first = f.read(_MAX_HEAD).split(b"\n", 1)[0].decode("utf-8", errors="replace")
    except OSError:
        return None
    key, sep, value = first.partition(":")
    return value.strip() if sep and key.strip() == "name" else None


def require_name(path: Path) -> str:
    """Return the id in ``meta.md``, or raise a :class:`ValidationError` that names the file."""
    name = read_name(path)
    if not name:
        raise ValidationError(
            f"{path} does not begin with `name: <dataset id>`",
            hint="A dataset outside the root is known by the first line of its meta.md.",
        )
    return name
