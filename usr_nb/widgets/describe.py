"""The panel *describe*: what is in every column, all records beside those that a filter keeps.

The numbers are exact, from one pass over all records. The front end asks for a little work at a
time (``step``), so that the kernel stays free in between and the panel says how far it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import ClassVar, Final, get_args

import traitlets

from usr_nb.analysis import describe
from usr_nb.analysis.describe import Describer, Form
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.profile.model import DuplicateKind, Profile
from usr_nb.errors import ValidationError
from usr_nb.filter.build import F
from usr_nb.filter.tree import Filter
from usr_nb.widgets.base import Panel, front_end
from usr_nb.widgets.follow import Rows, Source, Undo, follow, rows_kept, source_of
from usr_nb.widgets.messages import (
    COLUMNS_PAGE,
    COPY_BYTES,
    INDEX_PAGE,
    PAGE_BYTES,
    STEP_MS,
    Answer,
    Args,
    Choice,
    Operations,
    Text,
    Whole,
)

KINDS: Final[tuple[str, ...]] = get_args(DuplicateKind)
_SUMMARY_COLUMNS: Final = 30


class DescribePanel(Panel):
    """What is in a dataset: nulls, ranges, histograms, top values, sequences.

    It is a source of a filter itself: of the duplicates that were clicked last
    (``panel.sequences(ds, where=described)`` shows them), and before that of what it shows.

    Parameters
    ----------
    ds : Dataset
        The dataset; it is read, never written.
    where : Filter, str, or filter panel, optional
        The records to tell of beside all; a filter panel is followed.

    Attributes
    ----------
    chosen : int
        How often duplicates were clicked; in marimo the cells that use the panel run then.
    """

    _esm, _css = front_end("describe")
    chosen = traitlets.Int(0).tag(sync=True)
    operations: ClassVar[Operations] = {
        "start": {},
        "step": {},
        "index": {"start": Whole(), "count": Whole(low=1, high=INDEX_PAGE)},
        "columns": {"at": Text(most=200)},
        "column": {"at": Whole()},
        "choose": {"kind": Choice(KINDS)},
        "copy": {"form": Choice(get_args(Form))},
        "look": {"version": Text(most=100)},
    }

    def __init__(self, ds: Dataset, *, where: object = None) -> None:
        self._ds = ds
        self._work = Describer(ds)
        self._source: Source | None = source_of(where)
        self._chosen: Filter | None = None
        self._told: list[Callable[[], None]] = []
        super().__init__(summary=_summary(ds))
        follow(self._source, self, DescribePanel._filtered)

    def __repr__(self) -> str:
        return f"DescribePanel({self._ds.name!r})"

    def close(self) -> None:
        """Close the files and the widget."""
        # A widget that was refused its arguments is closed before it has anything to close.
        if hasattr(self, "_work"):
            self._work.close()
        super().close()

    def _filtered(self) -> None:
        self.tell_changed(why="filter")

    # What scripts and other panels ask --------------------------------------------------------

    @property
    def profile(self) -> Profile | None:
        """The profile that is shown; None until it is made. ``ds.profile()`` makes one at once."""
        return self._work.profile

    @property
    def filter(self) -> Filter:
        """The duplicates that were clicked last; before that the filter that is shown."""
        if self._chosen is not None:
            return self._chosen
        return F.everything if self._source is None else self._source.filter

    def rows_for(self, ds: Dataset) -> Rows:
        """Return the rows of a dataset's base (0-based, ascending) that :attr:`filter` keeps."""
        return rows_kept(ds, self.filter)

    def on_filter(self, told: Callable[[], None]) -> Undo:
        """Call back whenever duplicates are clicked; the return value stops that."""
        self._told.append(told)
        return lambda: self._told.remove(told) if told in self._told else None

    # Operations -------------------------------------------------------------------------------

    def on_start(self, _args: Args) -> Answer:
        """Begin the pass over the records as they are now."""
        # Before the files are opened: a change that comes meanwhile is noticed, not missed.
        version = self._work.version()
        where = None if self._source is None else self._source.filter
        self._work.start(where)
        line = None if where is None else where.as_line()[:1_000]
        return Answer({"dataset": self._ds.name, "version": version, "where": line})

    def on_step(self, _args: Args) -> Answer:
        """Work a little, and say how far it is; at the end also what there is."""
        if self._work.run is None and self._work.profile is not None:
            found: Profile | None = self._work.profile  # Another view of this panel was quicker.
        else:
            found = self._work.step(STEP_MS / 1_000)
        if found is None:
            run = self._work.run
            return Answer({"ready": False, "done": run.done if run else 0,
                           "total": run.total if run else -1})  # fmt: skip
        kept = found.sequences_kept
        return Answer({
            "ready": True, "rows": found.rows, "kept": found.kept, "columns": len(found),
            "namespaces": describe.namespaces_piece(found)[:INDEX_PAGE],
            "sequences": describe.sequence_piece(found.sequences) if found.sequences else None,
            "sequences_kept": describe.sequence_piece(kept) if kept else None,
            "python": describe.as_python(found)[:2_000],
        })  # fmt: skip

    def on_index(self, args: Args) -> Answer:
        """Give names, types and nulls of some columns."""
        listed = describe.index(self._made())
        start = args["start"]
        return Answer({"start": start, "columns": listed[start : start + args["count"]]})

    def on_columns(self, args: Args) -> Answer:
        """Give what the lines of some columns show, by their places, ``"3,4,7"``."""
        columns = self._made().columns
        places = _places(args["at"], len(columns))
        made = {str(i): describe.column_piece(columns[i], whole=False) for i in places}
        return Answer({"columns": made})

    def on_column(self, args: Args) -> Answer:
        """Give all that is known of one column, or what of it fits a message."""
        columns = self._made().columns
        [at] = _places(str(args["at"]), len(columns))
        piece = describe.column_piece(columns[at], whole=True)
        if len(json.dumps(piece)) > PAGE_BYTES:
            piece = describe.column_piece(columns[at], whole=False) | {"cut": True}
        return Answer({"at": at, "column": piece})

    def on_choose(self, args: Args) -> Answer:
        """Take duplicates as the filter that other panels may follow."""
        self._chosen = where = describe.duplicates_filter(self._made(), args["kind"])
        for told in list(self._told):
            told()
        python = where.as_python()
        return Answer({"kind": args["kind"], "python": python[:COPY_BYTES],
                       "cut": len(python) > COPY_BYTES})  # fmt: skip

    def on_copy(self, args: Args) -> Answer:
        """Give the profile as a line of Python, as CSV or as Markdown."""
        text = describe.taken_along(self._made(), args["form"])
        if len(text.encode()) > COPY_BYTES:
            raise ValidationError(
                f"The table has {len(text):,} letters, too many for the clipboard here",
                hint="In Python: from usr_nb.analysis.describe import as_csv; as_csv(ds.profile())",
            )
        return Answer({"form": args["form"], "text": text})

    def on_look(self, args: Args) -> Answer:
        """Say whether the dataset is another than that of the version."""
        return Answer({"changed": self._work.version() != args["version"]})

    def _made(self) -> Profile:
        if self._work.profile is None:
            raise ValidationError("Nothing is described yet", hint="Show the panel again.")
        return self._work.profile


def _places(text: str, many: int) -> list[int]:
    found = text.split(",")
    if len(found) > COLUMNS_PAGE or not all(p.isascii() and p.isdigit() for p in found):
        raise ValidationError(
            f"columns: 'at' names at most {COLUMNS_PAGE} places, as 3,4,7",
            hint="Show the panel again.",
        )
    places = [int(p) for p in found]
    if any(p >= many for p in places):
        raise ValidationError("There is no such column any more", hint="Show the panel again.")
    return places


def _summary(ds: Dataset) -> str:
    found = ds.info()
    schema = ds.schema()
    lines = [f"{ds.name}: {found.rows_live:,} records, {len(schema)} columns"]
    lines += [f"{f.name}: {f.type}" for f in list(schema)[:_SUMMARY_COLUMNS]]
    if len(schema) > _SUMMARY_COLUMNS:
        lines.append(f"and {len(schema) - _SUMMARY_COLUMNS} more")
    return "\n".join(lines)
