"""``usr doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from usr_nb.cli import options, render, say, target, views
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset.doctor.report import Checkup
from usr_nb.dataset.doctor.run import checkup

app = new_app()


@app.command()
def doctor(
    dataset: options.Target = None,
    *,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended without losing anything.")
    ] = False,
    root: options.Root = None,
    fmt: options.Show = "auto",
) -> int:
    """Find and mend what crashes left behind.

    Looks for litter, interrupted changes, torn or missing log lines, damaged and foreign files,
    and tries the file system. Without DATASET: the root and every dataset in it. The exit code is
    1 if an error is left.
    """
    subject = target.to_examine(dataset, root)
    with say.working("examining"):
        found = checkup(subject, repair=repair)
    render.emit(fmt, found.as_dict(), views.checkup_sheet(found))
    return _verdict(found, fmt)


def _verdict(found: Checkup, fmt: str) -> int:
    """Print one line per report, and return the exit code."""
    shown = say.sentence if render.resolved(fmt) in {"rich", "plain"} else say.note
    for line in views.checkup_lines(found):
        shown(line)
    if found.ok:
        return 0
    left = [f for d in found.all() for f in d.errors]
    mendable = any(f.repairable for f in left)
    hint = "`usr doctor --repair` mends what is marked so." if mendable else left[0].hint
    say.error(f"{say.count(len(left), 'error')} found; the first: {left[0].path}", hint)
    return 1


COMMANDS = built(app)
