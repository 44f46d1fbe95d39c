"""The panel *filter*: histograms to brush, values to choose, motifs to find; and the filter itself.

While one drags, ``preview`` answers with counts. At the end of a gesture the front end sets the one
trait ``commit``, once, so that in marimo the cells that use the panel run again once. Saving a
filter under a name takes two messages: ``plan_save`` says what would be written and hands out a
token, ``confirm`` writes, once per token.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, get_args

# Arrow loads pandas when it first hands out numbers; better now than under the first histogram.
import pandas as pd  # noqa: F401
import pyarrow as pa
import traitlets

from usr_nb.analysis.facets import Scale, View, time_text
from usr_nb.analysis.preview import Counted, FacetCounts, FilterPreview, Look
from usr_nb.analysis.sections import Section, sections
from usr_nb.contract.columns import ColumnInfo
from usr_nb.dataset.columns import load_columns
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.filters import check_name
from usr_nb.errors import SequencesError, StalePlanError, ValidationError
from usr_nb.filter.codec import feature_from_plain, filter_from_json
from usr_nb.filter.feature import plain_feature
from usr_nb.filter.kept import as_filter
from usr_nb.filter.line import parse_filter
from usr_nb.filter.selection import Selection
from usr_nb.filter.tree import Filter, Motif, all_of
from usr_nb.widgets.base import Panel, front_end
from usr_nb.widgets.follow import Rows, Undo
from usr_nb.widgets.messages import (
    CATEGORIES,
    FILTER_LENGTH,
    FILTER_NAME,
    LOOKS,
    TEXT_LENGTH,
    Answer,
    Args,
    Choice,
    Flag,
    Kind,
    Operations,
    Text,
    Whole,
    json_text,
)

_SCALES: Final = get_args(Scale)
_VIEWS: Final = get_args(View)
#: Lines and Python of a filter are shown up to here; both can be had whole from Python.
_SHOWN_TEXT: Final = 4_000
WHICH: Final[dict[str, Kind]] = {
    "filter": Text(most=FILTER_LENGTH),
    "deleted": Flag(default=False),
}


@dataclass(frozen=True)
class _Plan:
    """A write that was announced and not yet confirmed."""

    token: str
    name: str
    where: Filter | None
    #: When the filter of that name was saved, as the plan saw it.
    saved_at: object


class FilterPanel(Panel):
    """Which records: a filter that one builds by looking.

    Parameters
    ----------
    ds : Dataset or table
        The dataset. It is read; only *Save*, confirmed, writes one event. Or a table in memory
        (Arrow, or anything with ``__arrow_c_stream__``), which keeps no filters.
    where : Filter or str, optional
        The filter to begin with.
    name : str
        What a table is called.

    Attributes
    ----------
    commit : dict
        The state after the last gesture, as small JSON: ``filter`` (JSON text), ``hash``,
        ``count``, ``total``, ``deleted`` (whether tombstoned records count).
    """

    _esm, _css = front_end("filter")
    commit = traitlets.Dict().tag(sync=True)
    operations: ClassVar[Operations] = {
        "overview": {},
        "facet": {
            "feature": Text(),
            "scale": Choice(_SCALES, "linear"),
            "view": Choice(_VIEWS, "all"),
            **WHICH,
        },
        "preview": {"looks": Text(most=FILTER_LENGTH, default="[]"), **WHICH},
        "hits": {"chip": Whole(), **WHICH},
        "parse": {"line": Text(most=FILTER_LENGTH)},
        "load": {"name": Text(most=FILTER_NAME)},
        "plan_save": {"name": Text(most=FILTER_NAME), "filter": Text(most=FILTER_LENGTH)},
        "plan_delete": {"name": Text(most=FILTER_NAME)},
        "confirm": {"token": Text(most=64)},
        "look": {"version": Text(most=100)},
    }

    def __init__(
        self, ds: Dataset | object, *, where: Filter | str | None = None, name: str = "table"
    ) -> None:
        self._source = ds if isinstance(ds, Dataset) else None
        self._preview = FilterPreview(ds if isinstance(ds, Dataset) else as_table(ds), name=name)
        self._plan: _Plan | None = None
        self._told: list[Callable[[], None]] = []
        start = _given(where)
        # An error here, of a column that does not exist, say, comes before there is a widget.
        self._good = state = self._state(start, deleted=False)
        super().__init__(summary=_summary(self._preview.subject.name, start, state), commit=state)

    def __repr__(self) -> str:
        return f"FilterPanel({self._preview.subject.name!r})"

    def close(self) -> None:
        """Close the files and the widget."""
        if hasattr(self, "_preview"):
            self._preview.close()
        super().close()

    # What scripts ask -------------------------------------------------------------------------

    @property
    def filter(self) -> Filter:
        """The filter after the last gesture."""
        return filter_from_json(self.commit["filter"])

    @property
    def include_deleted(self) -> bool:
        """Whether tombstoned records are counted and given."""
        return bool(self.commit["deleted"])

    @property
    def count(self) -> int:
        """How many records the filter keeps now."""
        return len(self.rows())

    def rows(self) -> Rows:
        """Return the rows of the base (0-based, ascending) that are kept, of the newest state."""
        return self._now().rows(self.filter, include_deleted=self.include_deleted)

    def ids(self) -> list[str]:
        """Return the ids of the records that are kept, in base order, of the newest state."""
        rows = self.rows()
        return self._preview.subject.ids(rows)

    def selection(self) -> Selection:
        """Return the kept records as an immutable set of ids beside the filter; no tombstoned ones.

        See :class:`~usr_nb.filter.selection.Selection`.
        """
        return self._ds.pick(where=self.filter)

    def set(self, where: Filter | str | None) -> None:
        """Set the filter, from Python; in marimo this runs no cell again.

        Raises
        ------
        SchemaError, ValidationError
            If it does not fit the columns there are, or the line is malformed.
        """
        self.commit = self._state(_given(where), deleted=self.include_deleted)
        self.tell_changed(why="set")

    # What other panels ask: usr_nb.widgets.follow ---------------------------------------------

    def rows_for(self, ds: Dataset) -> Rows:
        """Return the rows of a dataset's base that are kept now; tombstoned ones are left out."""
        mine = self._source
        if mine is not None and (ds.root, ds.name) == (mine.root, mine.name):
            return self._now().rows(self.filter)
        with FilterPreview(ds) as other:
            return other.rows(self.filter)

    def on_filter(self, told: Callable[[], None]) -> Undo:
        """Call back after each gesture that changed the filter."""
        self._told.append(told)
        return lambda: self._told.remove(told)

    @traitlets.validate("commit")
    def _checked(self, proposal: Any) -> dict[str, Any]:
        """Take a commit of the front end, or keep the one before if it is none."""
        value = proposal["value"]
        try:
            where = filter_from_json(value["filter"])
            # Counts and hash are made here, whatever the front end says.
            self._good = self._state(where, deleted=value["deleted"] is True)
        except (SequencesError, OSError, KeyError, TypeError):
            pass
        # Not self.commit: while several traits are set at once it holds the proposal already.
        return dict(self._good)

    @traitlets.observe("commit")
    def _committed(self, change: Any) -> None:
        # The first state is nobody's gesture.
        before, now = change["old"], change["new"]
        if isinstance(before, dict) and (before.get("hash"), before.get("deleted")) != (
            now["hash"],
            now["deleted"],
        ):
            for told in list(self._told):
                told()

    def _state(self, where: Filter, *, deleted: bool) -> dict[str, Any]:
        counted = self._preview.count(where, include_deleted=deleted)
        return {
            "filter": where.to_json(), "hash": where.hash, "count": counted.kept,
            "total": counted.total, "deleted": deleted,
        }  # fmt: skip

    @property
    def _ds(self) -> Dataset:
        """The dataset that keeps filters."""
        if self._source is None:
            raise ValidationError(
                "A table in memory keeps no filters",
                hint="Import it as a dataset, or keep the line: parse_filter reads it back.",
            )
        return self._source

    def _now(self) -> FilterPreview:
        if self._preview.subject.changed():
            self._preview.close()
        return self._preview

    # Operations -------------------------------------------------------------------------------

    def on_overview(self, _args: Args) -> Answer:
        """Say what there is: sections, saved filters, the filter of now."""
        preview, kept = self._now(), self._source is not None
        data = {
            "dataset": preview.subject.name,
            "version": preview.subject.opened_version(),
            "rows": preview.subject.rows,
            "deleted": preview.deleted(),
            "sections": self._sections(),
            "saved": self._saved() if kept else None,
            "commit": dict(self.commit),
        }
        return Answer(data)

    def _sections(self) -> list[dict[str, Any]]:
        mine = self._source
        try:
            known = {} if mine is None else load_columns(mine.root)
        except SequencesError:
            # Labels are a help; `usr doctor` says what is wrong with the file.
            known = {}
        found = sections(self._preview.subject.schema, state=mine is not None)
        return [_section(s, known.get(s.feature.name)) for s in found]

    def on_facet(self, args: Args) -> Answer:
        """Give one feature's bins or values, counted whole and filtered."""
        look = _look({k: args[k] for k in ("feature", "scale", "view")})
        where = filter_from_json(args["filter"])
        counted = self._preview.count(where, [look], include_deleted=args["deleted"])
        return Answer(_facet(counted.facets[0]))

    def on_preview(self, args: Args) -> Answer:
        """Count what a filter keeps, and the features that are shown."""
        where = filter_from_json(args["filter"])
        looks = _looks(args["looks"])
        counted = self._preview.count(where, looks, include_deleted=args["deleted"])
        data = _counted(counted)
        data["commit"] = {
            "filter": where.to_json(), "hash": where.hash, "count": counted.kept,
            "total": counted.total, "deleted": args["deleted"],
        }  # fmt: skip
        data |= {"line": where.as_line()[:_SHOWN_TEXT], "python": where.as_python()[:_SHOWN_TEXT]}
        return Answer(data)

    def on_hits(self, args: Args) -> Answer:
        """Count the places of a motif in the records that the filter keeps."""
        where = filter_from_json(args["filter"])
        chips = where.chips
        chip = chips[args["chip"]] if args["chip"] < len(chips) else None
        if not isinstance(chip, Motif):
            raise ValidationError("Hits are counted of a motif", hint="Show the panel again.")
        hits = self._preview.hits(chip, where, include_deleted=args["deleted"])
        return Answer({"chip": args["chip"], "hits": hits})

    def on_parse(self, args: Args) -> Answer:
        """Read a filter from its line."""
        return Answer({"filter": self._fitting(parse_filter(args["line"])).to_json()})

    def on_load(self, args: Args) -> Answer:
        """Give a saved filter."""
        return Answer({"filter": self._fitting(self._ds.filter(args["name"])).to_json()})

    def _fitting(self, where: Filter) -> Filter:
        self._preview.count(where)
        return where

    def on_look(self, args: Args) -> Answer:
        """Say whether the dataset is another than the one of that version."""
        return Answer({"changed": self._preview.subject.version() != args["version"]})

    # Saving: announced, confirmed once, written here and nowhere else ---------------------------

    def on_plan_save(self, args: Args) -> Answer:
        """Say what saving would do; nothing is written yet."""
        name = check_name(args["name"])
        where = self._fitting(filter_from_json(args["filter"]))
        before = self._ds.filters().get(name)
        says = f"Save {json_text(name)} with {self._ds.name}?"
        if before is not None:
            says = f"Replace {json_text(name)}, saved as: {before.line[:TEXT_LENGTH]}"
        return self._planned(name, where, says)

    def on_plan_delete(self, args: Args) -> Answer:
        """Say what taking a saved filter away would do; nothing is written yet."""
        self._ds.filter(args["name"])
        says = f"Take {json_text(args['name'])} away? The event log keeps it."
        return self._planned(args["name"], None, says)

    def _planned(self, name: str, where: Filter | None, says: str) -> Answer:
        token = secrets.token_hex(16)
        self._plan = _Plan(token, name, where, self._saved_at(name))
        return Answer({"token": token, "says": says, "name": name})

    def on_confirm(self, args: Args) -> Answer:
        """Write what was announced under this token; a token works once."""
        plan, self._plan = self._plan, None
        if plan is None or not secrets.compare_digest(plan.token.encode(), args["token"].encode()):
            raise StalePlanError(
                "This was confirmed already, or another question came after it",
                hint="Press Save again.",
            )
        if self._saved_at(plan.name) != plan.saved_at:
            raise StalePlanError(
                f"Meanwhile the saved filter {plan.name!r} was changed by somebody else",
                hint="Look at it, then press Save again.",
            )
        if plan.where is None:
            self._ds.delete_filter(plan.name)
        else:
            self._ds.save_filter(plan.name, plan.where)
        return Answer({"saved": self._saved(), "name": plan.name})

    def _saved_at(self, name: str) -> object:
        found = self._ds.filters().get(name)
        return None if found is None else found.saved_at

    def _saved(self) -> list[dict[str, str]]:
        return [
            {"name": f.name, "line": f.line[:TEXT_LENGTH], "problem": f.problem or ""}
            for f in self._ds.filters().values()
        ]


def _given(where: Filter | str | None) -> Filter:
    found = as_filter(where)
    return all_of() if found is None else found


# Shapes of messages -------------------------------------------------------------------------------


def _looks(text: str) -> list[Look]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, list) or len(given) > LOOKS:
        raise ValidationError(
            f"preview: 'looks' is no list of at most {LOOKS} features", hint="Fold some sections."
        )
    return [_look(g) for g in given]


def _look(given: object) -> Look:
    if not isinstance(given, dict) or set(given) != {"feature", "scale", "view"}:
        raise ValidationError("A look has a feature, a scale and a view", hint="Show it again.")
    if given["scale"] not in _SCALES or given["view"] not in _VIEWS:
        raise ValidationError("A look has an unknown scale or view", hint="Show the panel again.")
    feature = given["feature"]
    if isinstance(feature, str):
        try:
            feature = json.loads(feature)
        except (ValueError, RecursionError):
            feature = None
    return Look(feature_from_plain(feature), given["scale"], given["view"])


def _section(section: Section, info: ColumnInfo | None) -> dict[str, Any]:
    info = info or ColumnInfo()
    return {
        "label": info.label or "",
        "unit": info.unit or "",
        "feature": plain_feature(section.feature), "name": str(section.feature),
        "group": section.group, "title": section.title, "type": section.type,
        "kind": section.kind, "items": section.items,
        "fields": [list(f) for f in section.fields],
    }  # fmt: skip


def _facet(found: FacetCounts) -> dict[str, Any]:
    facet = found.facet
    data: dict[str, Any] = {
        "kind": facet.kind, "shown": facet.shown, "whole": facet.whole, "low": facet.low,
        "high": facet.high, "edges": None, "times": None, "values": None, "more": 0,
    }  # fmt: skip
    if facet.edges is not None:
        data["edges"] = facet.edges.tolist()
        if facet.kind == "time":
            data["times"] = [time_text(e) for e in data["edges"]]
    if facet.values is not None:
        values = [v for v in facet.values[:CATEGORIES] if len(str(v)) <= TEXT_LENGTH]
        data |= {"values": values, "shown": len(values), "more": facet.shown - len(values)}
    return data | _slots(found)


def _slots(found: FacetCounts) -> dict[str, Any]:
    facet, n = found.facet, found.facet.shown
    shown: Sequence[int] = range(n)
    if facet.values is not None:
        most = facet.values[:CATEGORIES]
        shown = [i for i, v in enumerate(most) if len(str(v)) <= TEXT_LENGTH]
    places = [*shown, *range(n, n + 4)]
    return {"rows": found.rows[places].tolist(), "kept": found.kept[places].tolist()}


def _counted(counted: Counted) -> dict[str, Any]:
    return {
        "total": counted.total, "count": counted.kept, "strictest": counted.strictest,
        "chips": [
            {"line": c.line[:TEXT_LENGTH], "alone": c.alone, "without": c.without}
            for c in counted.chips
        ],
        "facets": [_slots(f) for f in counted.facets],
    }  # fmt: skip


def as_table(given: object) -> pa.Table:
    """Return a table in memory as Arrow, without what pandas adds to it.

    Raises
    ------
    ValidationError
        If it is none.
    """
    if not hasattr(given, "__arrow_c_stream__"):
        raise ValidationError(
            f"A {type(given).__name__} has no records to filter",
            hint="Give a Dataset, or a table of Arrow, pandas or Polars.",
        )
    return pa.table(given).replace_schema_metadata(None)


def _summary(name: str, where: Filter, state: dict[str, Any]) -> str:
    line = where.as_line()[:TEXT_LENGTH]
    return f"{name}: {state['count']:,} of {state['total']:,} records\n{line}"
