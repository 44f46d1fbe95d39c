"""``usr events tail``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Literal

import typer

from usr_nb.cli import options, target, views
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset.event_tail import tail_events, tail_lines

app = new_app()
events = new_app("Follow what happened to a dataset.")
app.add_typer(events, name="events")

EventFormat = Literal["auto", "plain", "json", "raw"]


@events.callback()
def about() -> None:
    """Follow what happened to a dataset."""


@events.command()
def tail(
    dataset: options.Target = None,
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
    path = target.dataset(dataset, root).events_path
    if fmt == "raw":
        _print(line.decode("utf-8", "replace") for line in tail_lines(path, n=n, follow=follow))
        return
    plain = fmt == "plain" or (fmt == "auto" and sys.stdout.isatty())
    found = tail_events(path, n=n, follow=follow)
    _print(f"{views.event_line(e) if plain else _json(e)}\n" for e in found)


def _json(event: dict[str, object]) -> str:
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _print(lines: Iterator[str]) -> None:
    """Print lines as they come, each at once."""
    for line in lines:
        sys.stdout.write(line)
        sys.stdout.flush()


COMMANDS = built(app)
