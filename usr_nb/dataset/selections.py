"""Picks that are kept with the dataset: files that never change, found again by name."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Final

from usr_nb.contract.names import check_snapshot_name
from usr_nb.contract.times import parse, to_snapshot_stamp
from usr_nb.dataset.context import Actor, Change, Context, change
from usr_nb.errors import (
    AlreadyExists,
    RecordNotFound,
    StorageError,
    ValidationError,
    did_you_mean,
)
from usr_nb.filter.selection import Selection
from usr_nb.storage.inside import check_link
from usr_nb.storage.layout import ARTIFACTS

#: About 180,000 ids.
MAX_BYTES: Final = 8 << 20
_FILE: Final = re.compile(r"selection-\d{8}T\d{12}-([A-Za-z0-9][A-Za-z0-9._-]{0,79})\.json\Z")


def save_selection(
    ctx: Context, name: str, selection: Selection, *, actor: Actor | None = None
) -> str:
    """Keep a selection with the dataset; see :meth:`Dataset.save_selection`."""
    if not isinstance(selection, Selection):
        raise ValidationError("A selection is needed", hint="Such as ds.pick(top=96).")
    check_snapshot_name(name)
    data = selection.to_json().encode()
    if len(data) > MAX_BYTES:
        raise ValidationError(
            f"A saved selection has at most {MAX_BYTES >> 20} MiB; this one has "
            f"{len(selection.ids):,} ids",
            hint="Keep it as a column: ds.write_overlay(namespace, a table of id and true).",
        )

    def build(c: Change) -> str:
        if name in _files(ctx):
            raise AlreadyExists(
                f"A selection is named {name!r}", hint="It never changes; choose another name."
            )
        path = f"{ARTIFACTS}/selection-{to_snapshot_stamp(parse(c.stage.at))}-{name}.json"
        c.stage.small_file(path, data)
        c.record(
            "selection_save", metrics={"rows": len(selection.ids)},
            title=f"saved the selection {name}",
            command=f"Dataset.open(root, {ctx.name!r}).save_selection({name!r}, selection)",
            artifacts={"selection": path},
        )  # fmt: skip
        return path

    args = {"name": name, "ids_hash": selection.ids_hash}
    return change(ctx, "selection_save", build, args=args, actor=actor)


def selections(ctx: Context) -> dict[str, Selection]:
    """Return the saved selections, A-Z; files that hold none are passed over."""
    with ctx.view():
        pass
    found = {}
    for name, path in sorted(_files(ctx).items()):
        with contextlib.suppress(ValidationError):
            found[name] = _read(path)
    return found


def selection(ctx: Context, name: str) -> Selection:
    """Return a saved selection by its name.

    Raises
    ------
    RecordNotFound
        If there is none of that name.
    ValidationError
        If its file holds none.
    """
    with ctx.view():
        pass
    files = _files(ctx)
    if name not in files:
        hint = did_you_mean(str(name), files) or "See ds.selections()."
        raise RecordNotFound(f"No selection is named {str(name)[:80]!r}", hint=hint)
    return _read(files[name])


def _files(ctx: Context) -> dict[str, Path]:
    """Return the oldest file of each name: two copies that met may both have one."""
    folder = ctx.layout.dir / ARTIFACTS
    check_link(folder, ctx.root)
    try:
        entries = sorted(folder.iterdir(), reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {m[1]: p for p in entries if (m := _FILE.match(p.name)) and p.is_file()}


def _read(path: Path) -> Selection:
    check_link(path, path.parent)
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
        return Selection.from_json(data.decode("utf-8"))
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error.strerror}") from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise ValidationError(f"{path} holds no selection: {error}", hint=None) from None
