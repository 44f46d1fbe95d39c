"""``usr events tail``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import typer

from usr_nb.cli import options, say, target, views
from usr_nb.cli.apps import built, new_app
from usr_nb.storage.follow import LogReader
from usr_nb.storage.inside import check_folder

app = new_app()
events = new_app("Follow what happened to a dataset.")
app.add_typer(events, name="events")

POLL_S: Final = 0.3
EventFormat = Literal["auto", "rich", "plain", "json", "raw"]


@events.callback()
def about() -> None:
    """Follow what happened to a dataset."""


@events.command()
def tail(
    dataset: options.Target = None,
    *,
    n: Annotated[int, typer.Option("-n", "--n", min=0, help="How many events.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
    root: options.Root = None,
    fmt: Annotated[
        EventFormat,
        typer.Option("--format", help="auto: plain on a terminal, else json. raw: as logged."),
    ] = "auto",
) -> None:
    """Show the last events, one per line.

    json prints each event once, even if the log repeats it; raw prints the lines of the log.
    """
    found = target.dataset(dataset, root)
    check_folder(found.dir, found.root)
    with LogReader(found.events_path) as log:
        last = log.poll_lines() if fmt == "raw" else log.poll()
        plain = fmt in {"rich", "plain"} or (fmt == "auto" and sys.stdout.isatty())
        _print(last[max(0, len(last) - n) :], plain=plain)
        while follow:
            time.sleep(POLL_S)
            _print(log.poll_lines() if fmt == "raw" else log.poll(), plain=plain)


def _print(found: Sequence[bytes | dict[str, Any]], *, plain: bool) -> None:
    """Print lines of the log, or events in the form that was asked for, at once."""
    for one in found:
        if isinstance(one, bytes):
            sys.stdout.write(one.decode("utf-8", "replace"))
        elif plain:
            say.sentence(views.event_line(one), indent=" " * 22)
        else:
            say.result(json.dumps(one, ensure_ascii=False, separators=(",", ":")))
    sys.stdout.flush()


COMMANDS = built(app)
