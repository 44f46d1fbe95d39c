"""``--dry-run``: the plan of a change, printed instead of applied."""

from __future__ import annotations

from typing import Annotated

import typer

from usr_nb.cli import render, say
from usr_nb.dataset.plans.plan import Plan

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would happen; writes nothing.")
]


def show(plan: Plan, fmt: str) -> None:
    """Print a plan; one that cannot be applied ends with the error that the command would give.

    Raises
    ------
    SequencesError
        The first of the plan's problems.
    """
    if render.resolved(fmt) == "json":
        render.emit_json(plan.as_dict())
    else:
        say.result(plan.summary())
    if plan.problems:
        raise plan.problems[0].error
