"""``usr ls``; a module of its own, since it must start fast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usr_nb.cli import options, render, say
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset.glance import overlay_sizes, summaries
from usr_nb.errors import PathNotFound
from usr_nb.storage.roots import find_root

app = new_app()
COLUMNS = ("dataset", "rows", "cols", "size_bytes", "updated")
#: Rows, columns and size are the base's, as in JSON; a table says so.
SHOWN = ("dataset", "rows", "base cols", "base size", "overlays", "updated")


@app.command()
def ls(root: options.Root = None, fmt: options.Show = "auto") -> None:
    """List the datasets of the root."""
    base = find_root(root)
    if root is not None and not base.is_dir():
        raise PathNotFound(f"{base} is not a folder", hint="Check --root.")
    found = summaries(base)
    if render.resolved(fmt) == "csv":
        sheet = render.Sheet(COLUMNS, [[d[c] for c in COLUMNS] for d in found])
    else:
        sheet = render.Sheet(SHOWN, [_shown(base, d) for d in found])
    render.emit(fmt, found, sheet)
    if not found:
        say.note(f"No dataset below {base}{_why_none(base)}")


def _shown(root: Path, item: Mapping[str, Any]) -> list[Any]:
    """Return a dataset for people: the base as in JSON, and beside it what lies beside it."""
    names, size = overlay_sizes(root / item["dataset"])
    overlays = f"{len(names)}, {render.size_text(size)}" if names else None
    base_size = render.size_text(item["size_bytes"])
    return [item["dataset"], item["rows"], item["cols"], base_size, overlays,
            render.to_second(item["updated"])]  # fmt: skip


def _why_none(root: Path) -> str:
    if root.is_dir():
        return ". Create one with `usr init <namespace>/<name>`."
    return (
        ": there is no such folder. Name the root with --root or USR_ROOT, or make one with "
        "`usr root init`."
    )


COMMANDS = built(app)
