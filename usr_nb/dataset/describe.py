"""What ``describe`` shows (contract GET-4): a view of the tallies of a profile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from usr_nb.contract.names import namespace_of
from usr_nb.contract.types import type_text
from usr_nb.dataset.context import Context
from usr_nb.dataset.profile.column import Tally
from usr_nb.dataset.profile.model import Stats
from usr_nb.dataset.profile.run import tallies
from usr_nb.errors import ValidationError
from usr_nb.filter.kept import Where, kept


def describe(
    ctx: Context,
    *,
    columns: Sequence[str] | None,
    sample: int,
    include_deleted: bool,
    where: Where | None = None,
) -> list[dict[str, Any]]:
    """Return one dict per column; see :meth:`Dataset.describe`."""
    if sample < 1:
        raise ValidationError("sample must be at least 1")
    with ctx.merged(include_deleted=include_deleted) as merged:
        names = merged.check_columns(columns)
        found = tallies(kept(merged, where), names, sample=min(sample, merged.base_rows))
    return [_row(name, tally) for name, tally in found.items()]


def _row(name: str, tally: Tally) -> dict[str, Any]:
    stats = tally.result()
    return {"column": name, "namespace": namespace_of(name), "type": type_text(tally.dtype),
            **_values(stats)}  # fmt: skip


def _values(stats: Stats) -> dict[str, Any]:
    """Return statistics as plain values; what does not apply is None."""
    out: dict[str, Any] = {
        "rows": stats.rows, "non_null": stats.non_null, "null_pct": round(stats.null_pct, 4),
        "example": stats.example,
    }  # fmt: skip
    n = stats.numbers
    mean = n.mean if n else None
    truths = dict(stats.words.top) if stats.words and not stats.numbers else {}
    if True in truths or False in truths:
        mean = truths.get(True, 0) / stats.non_null
    out |= {"min": n.min if n else None, "mean": mean, "max": n.max if n else None}
    of = stats.lists.lengths if stats.lists else None
    out |= {"len_min": of and of.min, "len_mean": of and of.mean, "len_max": of and of.max}
    text = stats.words if stats.words and not truths else None
    return out | {
        "distinct": text.distinct if text else None,
        "distinct_exact": text.distinct_exact if text else None,
    }
