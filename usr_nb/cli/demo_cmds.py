"""``usr demo | open``: the explorer, on simulated or on one's own data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usr_nb.cli import options, say, target
from usr_nb.cli.apps import built, new_app
from usr_nb.cli.serve import serve_explorer
from usr_nb.tools.demo import build_demo

app = new_app()
Port = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=65535,
        help="The port. Default: the first free one from 2718.",
        show_default=False,
    ),
]
Host = Annotated[str, typer.Option(help="The address to listen on.")]


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to build it.")] = Path(
        "demo"
    ),
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Build only.")] = False,
    port: Port = None,
) -> int:
    """Build the demo root and explore it.

    What is there already stays; a build that was cut off is finished. OPEN=0 opens no browser.
    """
    base = build_demo(folder, say=say.result)
    if no_serve:
        return 0
    return serve_explorer(base, None, port=port, open_browser=say.wants_browser())


@app.command("open")
def open_(
    dataset: options.Target = None,
    *,
    port: Port = None,
    host: Host = "127.0.0.1",
    base_url: Annotated[
        str, typer.Option(help="A path to serve under, for a proxy.", show_default=False)
    ] = "",
    root: options.Root = None,
) -> int:
    """Explore one's own datasets in the browser.

    Without DATASET the explorer offers all datasets of the root. OPEN=0 opens no browser.
    """
    base, name = target.to_explore(dataset, root)
    return serve_explorer(base, name, port=port, host=host, base_url=base_url,
                          open_browser=say.wants_browser())  # fmt: skip


COMMANDS = built(app)
