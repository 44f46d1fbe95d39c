"""The panel *sequences*: letters of many records on a canvas, read as one scrolls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar, Final, get_args

import numpy.typing as npt

from usr_nb.analysis.sequences import Against, Align, Look, SequencePages
from usr_nb.contract.iupac import reverse_complement
from usr_nb.dataset.core import Dataset
from usr_nb.errors import ValidationError
from usr_nb.widgets.base import arrow_bytes, front_end
from usr_nb.widgets.cells import WHY, CellPanel
from usr_nb.widgets.follow import follow, source_of
from usr_nb.widgets.messages import (
    COPY_BYTES,
    MOTIF_MISMATCHES,
    PAGE_BYTES,
    PAGE_LETTERS,
    PAGE_ROWS,
    Answer,
    Args,
    Choice,
    Flag,
    Kind,
    Operations,
    Text,
    Whole,
)

#: Aligned coordinates may be negative.
_FAR: Final = 1 << 40
_SUMMARY_ROWS: Final = 5
_SUMMARY_LETTERS: Final = 60
_LINE: Final = 60

LOOK: Final[dict[str, Kind]] = {
    "align": Choice(get_args(Align), "start"),
    "at": Text(default=""),
    "against": Choice(get_args(Against), "nothing"),
    "record": Text(default=""),
    "features": Text(default=""),
    "track": Text(default=""),
    "name": Text(default=""),
    "motif": Text(most=200, default=""),
    "mismatches": Whole(high=MOTIF_MISMATCHES, default=0),
}


class SequencesPanel(CellPanel):
    """Letters, features, tracks and comparisons of the records of a dataset.

    Parameters
    ----------
    ds : Dataset
        The dataset.
    rows : sequence of int, optional
        Only these rows of the base (0-based), in this order.
    where : Filter, str, or filter panel, optional
        Only the records that a filter keeps; a filter panel is followed.
    """

    _esm, _css = front_end("sequences")
    operations: ClassVar[Operations] = {
        "overview": {},
        "options": {"features": Text(default="")},
        "page": {
            "start": Whole(),
            "count": Whole(high=PAGE_ROWS),
            "first": Whole(low=-_FAR, high=_FAR),
            "letters": Whole(high=PAGE_LETTERS),
            "extras": Flag(default=True),
            **LOOK,
        },
        "find": {"text": Text(most=100)},
        "fasta": {
            "start": Whole(),
            "count": Whole(high=PAGE_ROWS),
            "reverse": Flag(default=False),
            "name": Text(default=""),
        },
        "look": {"version": Text(most=100)},
        **WHY,
    }

    def __init__(
        self,
        ds: Dataset,
        *,
        rows: Sequence[int] | npt.NDArray[Any] | None = None,
        where: object = None,
    ) -> None:
        if rows is not None and where is not None:
            raise ValidationError("rows= and where= both say which records", hint="Give one.")
        self._ds = ds
        self._source = source_of(where)
        if self._source is not None:
            rows = self._source.rows_for(ds)
        self._stale = False
        self._pages = SequencePages(ds, rows=rows)
        super().__init__(summary=_summary(ds, self._pages))
        follow(self._source, self, SequencesPanel._filtered)

    def _filtered(self) -> None:
        self._stale = True
        self.tell_changed(why="selection")

    def __repr__(self) -> str:
        return f"SequencesPanel({self._ds.name!r})"

    def close(self) -> None:
        """Close the files and the widget."""
        # A widget that was refused its arguments is closed before it has any pages.
        if hasattr(self, "_pages"):
            self._pages.close()
        super().close()

    def show(self, rows: Sequence[int] | npt.NDArray[Any] | None) -> None:
        """Show only these rows of the base (0-based), in this order; None for all."""
        self._source = None
        self._pages.select(rows)
        self.tell_changed(why="selection")

    # Operations -------------------------------------------------------------------------------

    def on_overview(self, _args: Args) -> Answer:
        """Say what there is."""
        # Before the files are opened: a change that comes meanwhile is noticed, not missed.
        version = self._pages.version()
        changed = self._pages.changed()
        if changed:
            self._pages.close()
        if self._source is not None and (changed or self._stale):
            self._stale = False
            self._pages.select(self._source.rows_for(self._ds))
        there = _plain(asdict(self._pages.overview()))
        return Answer({"dataset": self._ds.name, "version": version, **there})

    def on_options(self, args: Args) -> Answer:
        """Say which labels and tracks the first rows offer."""
        return Answer(_plain(asdict(self._pages.options(features=args["features"] or None))))

    def on_page(self, args: Args) -> Answer:
        """Give letters and what belongs to them, at most PAGE_BYTES: else fewer rows."""
        given: dict[str, Any] = {k: args[k] for k in LOOK}
        look = Look(**given | {k: given[k] or None for k in _OPTIONAL})
        ready = self._pages.is_ready(look)
        if not args["extras"] and not ready and look.align in {"start", "end"}:
            # Letters first: where the values of an overlay lie is worked out in the next request.
            look = Look(align=look.align)
        letters = args["letters"]
        count = min(args["count"], PAGE_LETTERS // max(letters, 1))
        while True:
            page = self._pages.page(
                args["start"], count, first=args["first"], letters=letters, look=look
            )
            body = arrow_bytes(page.table)
            if len(body) <= PAGE_BYTES or count <= 1:
                break
            count = max(1, min(count - 1, count * PAGE_BYTES // len(body)))
        data = {
            "start": page.start, "count": page.table.num_rows, "total": page.total,
            "first": page.first, "letters": letters, "whole": args["extras"] or ready,
        }  # fmt: skip
        return Answer(data, (body,))

    def on_find(self, args: Args) -> Answer:
        """Say where a record stands."""
        return Answer({"at": self._pages.find(args["text"])})

    def on_fasta(self, args: Args) -> Answer:
        """Give whole sequences as FASTA, to be copied; as many as COPY_BYTES hold."""
        records = self._pages.records(args["start"], args["count"], name=args["name"] or None)
        text, copied = "", 0
        for record in records:
            entry = _fasta(record, reverse=args["reverse"])
            if copied and len(text) + len(entry) > COPY_BYTES:
                break
            text, copied = text + entry, copied + 1
        return Answer({"text": text, "copied": copied, "asked": len(records)})

    def on_look(self, args: Args) -> Answer:
        """Say whether the dataset is another than the one of that version.

        The front end tells what it shows: several views of one widget may show several states.
        """
        return Answer({"changed": self._pages.version() != args["version"]})


_OPTIONAL: Final = ("features", "track", "name")


def _plain(mapping: dict[str, Any]) -> dict[str, Any]:
    return {k: list(v) if isinstance(v, tuple) else v for k, v in mapping.items()}


def _fasta(record: dict[str, Any], *, reverse: bool) -> str:
    sequence, words = record["sequence"], [record["id"], record["name"] or ""]
    if reverse and record["bio_type"] != "protein":
        sequence = reverse_complement(sequence, rna=record["bio_type"] == "rna")
        words.append("RC")
    # A line break inside a name would end the header.
    header = " ".join(" ".join(words).split())
    lines = [sequence[i : i + _LINE] for i in range(0, len(sequence), _LINE)]
    return f">{header}\n" + "".join(f"{line}\n" for line in lines)


def _summary(ds: Dataset, pages: SequencePages) -> str:
    there = pages.overview()
    shown = pages.page(0, _SUMMARY_ROWS, letters=_SUMMARY_LETTERS).table.to_pylist()
    lines = [f"{ds.name}: {there.rows:,} records, at most {there.max_length:,} letters"]
    for r in shown:
        more = "…" if r["length"] > _SUMMARY_LETTERS else ""
        lines.append(f"{r['id'][:8]}  {r['letters']}{more}")
    if there.rows > len(shown):
        lines.append(f"… and {there.rows - len(shown):,} more")
    return "\n".join(lines)
