"""``usr ls``; a module of its own, since it must start fast."""

from __future__ import annotations

from usr_nb.cli import options, render, say
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset.glance import summaries
from usr_nb.errors import PathNotFound
from usr_nb.storage.roots import find_root

app = new_app()
COLUMNS = ("dataset", "rows", "cols", "size_bytes", "updated")


@app.command()
def ls(root: options.Root = None, fmt: options.Show = "auto") -> None:
    """List the datasets of the root."""
    base = find_root(root)
    if root is not None and not base.is_dir():
        raise PathNotFound(f"{base} is not a folder", hint="Check --root.")
    found = summaries(base)
    rows = [[d[c] for c in COLUMNS] for d in found]
    names = COLUMNS
    if render.resolved(fmt) != "csv":
        names = ("dataset", "rows", "cols", "size", "updated")
        rows = [[*r[:3], render.size_text(r[3]), render.to_second(r[4])] for r in rows]
    render.emit(fmt, found, render.Sheet(names, rows))
    if not found:
        say.note(f"No dataset below {base}. Create one with `usr init <namespace>/<name>`.")


COMMANDS = built(app)
