"""The bar itself, drawn by rich on standard error."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress as RichProgress, TextColumn, TimeElapsedColumn

from usr_nb.cli import render
from usr_nb.contract.progress import Progress


def amount(progress: Progress) -> str:
    """Return how much of how much, as people say it.

    Examples
    --------
    >>> amount(Progress("writing", 65_536, 200_000, "rows"))
    '65,536 of 200,000 rows'
    >>> amount(Progress("reading", 1 << 20, 5 << 20, "bytes"))
    '1.0 MiB of 5.0 MiB'
    >>> amount(Progress("reading", 7, None, "rows"))
    '7 rows'
    """
    if progress.unit == "bytes":
        done, total = render.size_text(progress.done) or "", render.size_text(progress.total)
        return f"{done} of {total}" if total else done
    total = f" of {progress.total:,}" if progress.total is not None else ""
    return f"{progress.done:,}{total} {progress.unit}"


class Meter:
    """One line on the terminal; it is wiped off when it stops."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._line = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._task = self._line.add_task(f"{what} ...", total=None, amount="")
        self._line.start()

    def update(self, progress: Progress) -> None:
        """Show a report."""
        self._line.update(
            self._task,
            description=f"{self._what}: {progress.stage}",
            completed=progress.done,
            total=progress.total or None,
            amount=amount(progress),
        )

    def stop(self) -> None:
        """Wipe the line off and give the cursor back."""
        self._line.stop()
