"""A profile as people read it: in small pieces for a panel, as CSV, as Markdown.

>>> from usr_nb.analysis.describe import as_csv, as_markdown
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np

from usr_nb.dataset.context import Context
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.profile.model import (
    ColumnProfile,
    DuplicateKind,
    Numbers,
    Profile,
    SequenceStats,
    Stats,
)
from usr_nb.dataset.profile.run import ProfileRun
from usr_nb.dataset.values import plain
from usr_nb.errors import ValidationError
from usr_nb.filter.build import F
from usr_nb.filter.tree import Filter
from usr_nb.storage.roots import Place
from usr_nb.storage.slots import highest_slot
from usr_nb.storage.view import overlay_paths

Form = Literal["python", "csv", "markdown"]
#: Places of a sparkline, letters of a value, values and fields that travel to a panel.
SPARK: Final = 96
LETTERS: Final = 80
BRIEF_TOP: Final = 3
MOST_FIELDS: Final = 40
MOST_DEPTH: Final = 4
_HEAD: Final = ("column", "type", "unit", "rows", "null_pct", "min", "mean", "max", "std", "median",
                "distinct", "top", "len_min", "len_mean", "len_max")  # fmt: skip


class Describer:
    """The profile of a dataset's present state, made a little at a time. Writes nothing.

    Parameters
    ----------
    ds : Dataset
        The dataset.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> work = Describer(ds)
    >>> work.start(None)
    >>> while work.step(0.2) is None:
    ...     pass
    >>> work.profile.rows
    0
    """

    def __init__(self, ds: Dataset) -> None:
        self._ctx = Context(Place(ds.root, ds.name, ds.dir))
        self.run: ProfileRun | None = None
        self.profile: Profile | None = None

    def version(self) -> str:
        """Return what names the present state of the dataset: another text once it changed."""
        layout = self._ctx.layout
        stamp = (highest_slot(layout), tuple(overlay_paths(layout)))
        return hashlib.sha256(repr(stamp).encode()).hexdigest()[:16]

    def start(self, where: Filter | None) -> None:
        """Begin anew, with the dataset as it is."""
        self.close()
        self.run = ProfileRun(self._ctx, where=where)

    def step(self, seconds: float) -> Profile | None:
        """Work for about so long; return the profile once it is made."""
        if self.run is None:
            raise ValidationError("Nothing is being described", hint="Show the panel again.")
        found = self.run.step(seconds)
        if found is not None:
            self.profile, self.run = found, None
        return found

    def close(self) -> None:
        """Stop, and close the files."""
        if self.run is not None:
            self.run.close()
            self.run = None


def duplicates_filter(profile: Profile, kind: DuplicateKind) -> Filter:
    """Return the filter that keeps the records of one kind of duplicates.

    Of the records that the profile's filter keeps, if it has one. At most the first 10,000.

    Raises
    ------
    ValidationError
        If the profile has no sequences, or there are no such duplicates.
    """
    stats = profile.sequences_kept or profile.sequences
    found = stats.duplicates.get(kind) if stats is not None else None
    if found is None or not found.ids:
        raise ValidationError(f"There are no {str(kind)[:40]} duplicates")
    return F["id"].isin(list(found.ids))


# In small pieces ----------------------------------------------------------------------------------


def index(profile: Profile) -> list[dict[str, Any]]:
    """Return name, namespace, type and share of nulls of every column."""
    return [
        {
            "name": c.name, "namespace": c.namespace or "", "type": c.type,
            "label": c.info.label or "", "unit": c.info.unit or "",
            "nulls": round(c.all.null_pct, 4),
            "nulls_kept": None if c.kept is None else round(c.kept.null_pct, 4),
        }
        for c in profile.columns
    ]  # fmt: skip


def column_piece(column: ColumnProfile, *, whole: bool) -> dict[str, Any]:
    """Return one column for a panel; `whole` with all that is known of it."""
    return {
        "name": column.name, "type": column.type, "info": column.info.as_plain(),
        "owner": column.owner, "description": column.description,
        "all": stats_piece(column.all, whole=whole),
        "kept": None if column.kept is None else stats_piece(column.kept, whole=whole),
    }  # fmt: skip


def stats_piece(stats: Stats, *, whole: bool, depth: int = 0) -> dict[str, Any]:
    """Return statistics as JSON values, long ones cut."""
    out: dict[str, Any] = {"rows": stats.rows, "nulls": stats.nulls}
    if whole:
        out["example"] = short(stats.example)
    if stats.numbers is not None:
        out["numbers"] = numbers_piece(stats.numbers, whole=whole)
    if stats.words is not None:
        top = stats.words.top if whole else stats.words.top[:BRIEF_TOP]
        out["words"] = {
            "distinct": stats.words.distinct, "exact": stats.words.distinct_exact,
            "top": [[short(v), n] for v, n in top],
        }  # fmt: skip
    if stats.lists is not None:
        out["lengths"] = numbers_piece(stats.lists.lengths, whole=whole)
        if stats.lists.means is not None:
            out["means"] = spark(stats.lists.means)
        if stats.lists.elements is not None and depth < MOST_DEPTH:
            out["elements"] = stats_piece(stats.lists.elements, whole=whole, depth=depth + 1)
    if stats.children:
        out["fields"] = len(stats.children)
        if whole and depth < MOST_DEPTH:
            out["children"] = [
                {"name": n, "type": t, **stats_piece(s, whole=True, depth=depth + 1)}
                for n, t, s in stats.children[:MOST_FIELDS]
            ]
    return out


def numbers_piece(numbers: Numbers, *, whole: bool) -> dict[str, Any]:
    """Return numbers as JSON values: infinities as text, the histogram by its ends and counts."""
    out: dict[str, Any] = {
        "count": numbers.count, "nan": numbers.nan, "infinite": numbers.infinite,
        "min": value(numbers.min), "mean": value(numbers.mean), "max": value(numbers.max),
    }  # fmt: skip
    found = numbers.histogram
    if found is not None:
        out["histogram"] = {"from": value(found.edges[0]), "to": value(found.edges[-1]),
                            "counts": list(found.counts)}  # fmt: skip
    if whole:
        out["std"] = value(numbers.std)
        out["quantiles"] = [[q, value(v)] for q, v in numbers.quantiles]
        out["exact"] = numbers.quantiles_exact
    return out


def value(found: Any) -> Any:
    """Return a number or time as JSON knows it; infinities and NaN as text.

    Examples
    --------
    >>> value(float("-inf")), value(1.5), value(None)
    ('-inf', 1.5, None)
    """
    if isinstance(found, float) and not math.isfinite(found):
        return "NaN" if math.isnan(found) else "inf" if found > 0 else "-inf"
    # JavaScript counts exactly up to 2**53.
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) >= 2**53:
        return float(found)
    return plain(found) if isinstance(found, datetime) or hasattr(found, "isoformat") else found


def short(found: Any) -> Any:
    """Return a value for a person, cut where it is long; text stays text."""
    if found is None or isinstance(found, bool | int | float):
        return value(found)
    text = found if isinstance(found, str) else str(plain(found))
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def spark(means: Sequence[float | None]) -> list[float | None]:
    """Return at most 96 points of a vector's means: those of a long one are means of neighbours.

    Examples
    --------
    >>> spark([1.0, None, 3.0])
    [1.0, None, 3.0]
    """
    if len(means) <= SPARK:
        return list(means)
    wide = np.array([np.nan if m is None else m for m in means])
    out: list[float | None] = []
    for part in np.array_split(wide, SPARK):
        known = part[~np.isnan(part)]
        out.append(float(known.mean()) if len(known) else None)
    return out


def sequence_piece(stats: SequenceStats) -> dict[str, Any]:
    """Return the statistics of sequences as JSON values."""
    return {
        "lengths": numbers_piece(stats.lengths, whole=True),
        "gc": numbers_piece(stats.gc, whole=True),
        "letters": [list(pair) for pair in stats.letters],
        "duplicates": {
            k: {"groups": d.groups, "records": d.records} for k, d in stats.duplicates.items()
        },
    }


def namespaces_piece(profile: Profile) -> list[dict[str, Any]]:
    """Return every namespace: how far it reaches, who wrote it last."""
    return [
        {
            "name": n.name, "owner": n.owner or "", "description": n.description or "",
            "columns": len(n.columns), "covered": n.covered, "covered_kept": n.covered_kept,
            "parts": n.parts, "written_at": plain(n.written_at),
            "who": " ".join(w for w in (n.tool, n.run_id) if w), "host": n.host or "",
        }
        for n in profile.namespaces
    ]  # fmt: skip


# To take along ------------------------------------------------------------------------------------


def as_python(profile: Profile) -> str:
    """Return the line of Python that makes the profile.

    Examples
    --------
    >>> as_python(Profile("demo", 2, 1, "length > 3", ()))
    "ds.profile('length > 3')"
    """
    return f"ds.profile({profile.where!r})" if profile.where is not None else "ds.profile()"


def rows_of(profile: Profile) -> tuple[list[str], list[list[Any]]]:
    """Return the profile as a table: one row per column, with a filter two (all, kept)."""
    sides = profile.kept is not None
    rows = []
    for c in profile.columns:
        for side, stats in (("all", c.all), ("kept", c.kept)):
            if stats is not None:
                row = _row(c, stats)
                rows.append([row[0], side, *row[1:]] if sides else row)
    head = list(_HEAD)
    return ([head[0], "records", *head[1:]] if sides else head), rows


def _row(column: ColumnProfile, stats: Stats) -> list[Any]:
    n, w = stats.numbers, stats.words
    lengths = stats.lists.lengths if stats.lists else None
    median = dict(n.quantiles).get(0.5) if n else None
    top = "; ".join(f"{short(v)} ({k})" for v, k in w.top[:BRIEF_TOP]) if w else None
    distinct = None if w is None else f"{'' if w.distinct_exact else '~'}{w.distinct}"
    return [
        column.name, column.type, column.info.unit, stats.rows, round(stats.null_pct, 4),
        n and value(n.min), n and value(n.mean), n and value(n.max), n and value(n.std),
        value(median), distinct, top,
        lengths and lengths.min, lengths and lengths.mean, lengths and lengths.max,
    ]  # fmt: skip


def as_csv(profile: Profile) -> str:
    """Return the profile as CSV, one line per column (two with a filter); null is empty."""
    head, rows = rows_of(profile)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([["" if v is None else v for v in row] for row in rows])
    return out.getvalue()


def as_markdown(profile: Profile) -> str:
    """Return the profile as a Markdown table; columns of which nothing is known are left out."""
    head, rows = rows_of(profile)
    used = [i for i, _ in enumerate(head) if any(row[i] not in (None, "") for row in rows)]
    lines = [[head[i] for i in used], ["---"] * len(used)]
    lines += [[_cell(row[i]) for i in used] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(found: Any) -> str:
    if found is None:
        return "–"
    text = f"{found:.4g}" if isinstance(found, float) else str(found)
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def taken_along(profile: Profile, form: Form) -> str:
    """Return the profile in one of the forms that a panel copies."""
    return {"python": as_python, "csv": as_csv, "markdown": as_markdown}[form](profile)
