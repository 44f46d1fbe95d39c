"""``usr root init``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usr_nb.cli import options, say
from usr_nb.cli.apps import built, new_app
from usr_nb.dataset.registration import init_root
from usr_nb.storage.roots import find_root

app = new_app()
root_app = new_app("Make a folder a root.")
app.add_typer(root_app, name="root")


@root_app.callback()
def about() -> None:
    """Make a folder a root."""


@root_app.command("init")
def init(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The folder.", show_default=False)
    ] = None,
    root: options.Root = None,
) -> None:
    """Create registry.yaml where there is none.

    It holds the reserved namespace usr_state; one that exists stays. Without DIR the root is the
    one that other commands would use.
    """
    base = find_root(folder or root)
    registry = init_root(base)
    say.result(f"{base} is a root with {say.count(len(registry), 'namespace')}")


COMMANDS = built(app)
