"""What panels that show cells share: where a value comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from usr_nb.analysis.provenance import setter_line, value_text, why_steps
from usr_nb.dataset.core import Dataset
from usr_nb.widgets.base import Panel
from usr_nb.widgets.messages import Answer, Args, Operations, Text

WHY: Final[Operations] = {"why": {"id": Text(most=40), "column": Text(most=300)}, "columns": {}}
_STEPS: Final = 60
_COLUMNS: Final = 1_000


class CellPanel(Panel):
    """A panel of a dataset that says which part set a value."""

    _ds: Dataset

    def on_why(self, args: Args) -> Answer:
        """Say where the value of a cell comes from: what decides, and what it replaced."""
        found = self._ds.why(args["id"], args["column"])
        steps = why_steps(found)
        return Answer({
            "id": found.id, "column": found.column, "value": value_text(found.value),
            "source": found.source, "setter": setter_line(found),
            "steps": [asdict(s) for s in steps[:_STEPS]], "all_steps": len(steps),
            "unspoken": len(found.unspoken), "unreadable": list(found.unreadable[:_STEPS]),
            "python": f"ds.why({found.id!r}, {found.column!r})",
        })  # fmt: skip

    def on_columns(self, _args: Args) -> Answer:
        """Give the names of columns, to choose one."""
        return Answer({"columns": self._ds.schema().names[:_COLUMNS]})
