"""How the modules of commands make their typer apps."""

from __future__ import annotations

from typing import Any

import typer

from usr_nb.cli.quick import quicken


def new_app(help: str | None = None) -> typer.Typer:
    """Return an empty app or group in the house's style: plain help, errors left to ``main``."""
    return typer.Typer(
        rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True,
        add_completion=False, help=help,
    )  # fmt: skip


def built(app: typer.Typer) -> dict[str, Any]:
    """Return the commands of an app by name."""
    return dict(quicken(typer.main.get_group(app)).commands)
