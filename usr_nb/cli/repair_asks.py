"""Questions of ``usr densegen repair``: which rows to drop, which of equal ones to keep."""

from __future__ import annotations

from typing import Final

from usr_nb.cli import render, say
from usr_nb.errors import ValidationError
from usr_nb.tools.densegen.report import Choice, RepairGroup

_ROWS: Final = {
    "missing_used_tfbs": "in which no part is found",
    "single_tf": "that use a single factor",
    "id_seq_only": "without any derived value",
}


def drops(*, ask: bool, **wanted: bool) -> dict[str, bool]:
    """Return which rows are to be dropped, asking about each kind where somebody can be asked."""
    asked = ask and say.interactive()
    return {
        f"drop_{kind}": on
        and (not asked or say.ask(f"Drop rows {_ROWS[kind]}? [y/N]") in {"y", "yes"})
        for kind, on in wanted.items()
    }


def keep_which(group: RepairGroup) -> Choice:
    """Ask which row of a group of equal sequences stays.

    Raises
    ------
    ValidationError
        Nobody can be asked.
    UserAbort
        The input ended.
    """
    if not say.interactive():
        raise ValidationError(
            "--dedupe ask needs a terminal", hint="Use keep-first or keep-last elsewhere."
        )
    lines = [
        f"  {i}  {row.id[:8]}  {render.stamp(row.created_at)}  "
        f"{render.cell(row.source)}  {row.sequence}"
        for i, row in enumerate(group.rows, 1)
    ]
    say.note("\n".join(["Equal sequences:", *lines]))
    while True:
        answer = say.ask(f"Keep which? 1 to {len(lines)}, 0 drops all, s skips")
        if answer == "s":
            return "s"
        if answer.isascii() and answer.isdigit() and int(answer) <= len(lines):
            return int(answer)
