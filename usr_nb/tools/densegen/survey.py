"""Reading a dataset row by row: what is recorded, what follows from the letters, what differs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.names import namespace_of
from usr_nb.contract.registry import Registry
from usr_nb.contract.types import parse_type, same_type, type_text
from usr_nb.errors import SchemaError, join_hints, some
from usr_nb.overlay.merge import Merged
from usr_nb.tools.densegen.report import RepairGroup, RepairRow
from usr_nb.tools.densegen.sites import (
    UPSTREAM,
    Derived,
    derive,
    is_single_base,
    is_well_formed,
    plan_name,
    read_parts,
)

NAMESPACE: Final = "densegen"
PLAN: Final = "densegen__plan"
PARTS: Final = "densegen__tfbs_parts"
USED: Final = "densegen__used_tfbs"
DETAIL: Final = "densegen__used_tfbs_detail"
FACTORS: Final = "densegen__used_tf_list"
COUNTS: Final = "densegen__used_tf_counts"

TYPES: Final = {
    PLAN: "string",
    PARTS: "list<string>",
    USED: "list<string>",
    DETAIL: "list<struct<offset:int64,orientation:string,tf:string,tfbs:string>>",
    FACTORS: "list<string>",
    COUNTS: "list<struct<tf:string,count:int64>>",
}
COUNTS_AS_FIELDS: Final = "struct<cpxr:int64,lexa:int64>"
WRITTEN: Final = (PARTS, USED, DETAIL, FACTORS, COUNTS)

Mask = npt.NDArray[np.bool_]


def check_forms(merged: Merged, registry: Registry) -> dict[str, pa.DataType]:
    """Return the types in which the columns are written (OVL-8).

    Raises
    ------
    NamespaceError
        If a column to be written is not registered.
    SchemaError
        If the dataset has no plan or parts, or a column has a form that is not known.
    """
    there = merged.schema
    for name in (PLAN, PARTS):
        if name not in there.names:
            raise SchemaError(
                f"The dataset has no column '{name}'",
                hint=join_hints(
                    "A repair needs the plan and the parts that DenseGen recorded.",
                    f"Columns there: {some(there.names, 12)}.",
                ),
            )
    forms = {}
    for name, text in TYPES.items():
        form = registry.column(NAMESPACE, name).arrow_type if name in WRITTEN else parse_type(text)
        known = [text, COUNTS_AS_FIELDS] if name == COUNTS else [text]
        found = [form, there.field(name).type] if name in there.names else [form]
        wrong = [t for t in found if type_text(t) not in known or not same_type(t, form)]
        if wrong:
            raise SchemaError(
                f"Column '{name}' is {type_text(wrong[-1])}, registered as {type_text(form)}; "
                f"a repair writes {' or '.join(known)}",
                hint="Register the column in the form that the data has.",
            )
        forms[name] = form
    return forms


def counts_cell(counts: dict[str, int], form: pa.DataType) -> Any:
    """Return counts per factor in the form of the column.

    Examples
    --------
    >>> counts_cell({"lexa": 2}, parse_type(COUNTS_AS_FIELDS))
    {'cpxr': 0, 'lexa': 2}
    >>> counts_cell({"lexa": 2}, parse_type(TYPES[COUNTS]))
    [{'tf': 'lexa', 'count': 2}]
    """
    if pa.types.is_struct(form):
        return {f.name: counts.get(f.name, 0) for f in form}
    return [{"tf": tf, "count": n} for tf, n in counts.items()]


@dataclass
class Survey:
    """What one pass over all rows found.

    Attributes
    ----------
    changed : dict of int to dict
        Base row → the columns that get another value, with what stands there and what will.
    found : dict of str to int
        The counts of the report.
    nothing, single, bare : list of int
        Base rows: none of their parts found; sites of one factor; nothing derived.
    groups : dict
        (bio_type, upper-case letters) → live base rows.
    """

    rows: int
    live: Mask
    changed: dict[int, dict[str, tuple[Any, Any]]] = field(default_factory=dict)
    found: Counter[str] = field(default_factory=Counter)
    nothing: list[int] = field(default_factory=list)
    single: list[int] = field(default_factory=list)
    bare: list[int] = field(default_factory=list)
    groups: list[tuple[RepairGroup, list[int]]] = field(default_factory=list)


def look(merged: Merged, forms: dict[str, pa.DataType], *, min_length: int, groups: bool) -> Survey:
    """Read all rows of a dataset, tombstoned ones too, and say what a repair would change."""
    live = merged.live_mask()
    survey = Survey(merged.base_rows, np.ones(merged.base_rows, bool) if live is None else live)
    have = [n for n in TYPES if n in merged.schema.names]
    row = 0
    for batch in merged.batches(["id", "bio_type", "sequence", *have]):
        cells = {n: batch.column(n).to_pylist() for n in batch.schema.names}
        absent = dict.fromkeys([n for n in TYPES if n not in have], [None] * batch.num_rows)
        for values in zip(*(cells | absent).values(), strict=True):
            record = dict(zip([*cells, *absent], values, strict=True))
            _look_at(survey, row, record, forms, min_length)
            row += 1
    survey.bare = _without_other_values(merged, survey.bare)
    survey.found["id_seq_only"] = len(survey.bare)
    survey.found["nothing_found"] = len(survey.nothing)
    survey.found["single_tf"] = len(survey.single)
    if groups:
        survey.groups = _groups(merged, survey.live)
    return survey


def _look_at(
    survey: Survey,
    row: int,
    record: dict[str, Any],
    forms: dict[str, pa.DataType],
    min_length: int,
) -> None:
    # Where no parts were recorded, the sites recorded as used are all that is known.
    entries = record[PARTS] if record[PARTS] is not None else record[USED]
    parts = read_parts(entries, min_length=min_length)
    derived = derive(record["sequence"], record[PLAN], parts, bio_type=record["bio_type"])
    after = _cells(derived, forms)
    after[PARTS] = None if record[PARTS] is None else [p.text for p in parts]
    changed = {n: (record[n], after[n]) for n in WRITTEN if record[n] != after[n]}
    if changed:
        survey.changed[row] = changed
    if not derived.used:
        survey.nothing.append(row)
    elif len(derived.factors) == 1:
        survey.single.append(row)
    if _is_bare(record, after):
        survey.bare.append(row)
    survey.found.update(
        with_parts=bool(record[PARTS]),
        single_base=any(is_single_base(e) for n in (PARTS, USED) for e in record[n] or ()),
        missing_used_tfbs=not record[USED],
        missing_detail=not is_well_formed(record[DETAIL]),
        unknown_plan=plan_name(record[PLAN]) not in UPSTREAM,
    )


def _cells(derived: Derived, forms: dict[str, pa.DataType]) -> dict[str, Any]:
    return {
        USED: [p.text for p in derived.used],
        DETAIL: [dict(s) for s in derived.detail],
        FACTORS: derived.factors,
        COUNTS: counts_cell(derived.counts, forms[COUNTS]),
    }


def _is_bare(record: dict[str, Any], after: dict[str, Any]) -> bool:
    """Say whether nothing is recorded but what an earlier repair wrote for no parts at all."""
    if record[PLAN] or record[PARTS] or record[USED]:
        return False
    return all(not record[n] or record[n] == after[n] for n in (DETAIL, FACTORS, COUNTS))


def _without_other_values(merged: Merged, rows: list[int]) -> list[int]:
    """Return those rows in which all other derived columns are null or empty too."""
    left = np.array(rows, np.int64)
    for name in merged.schema.names:
        if len(left) == 0:
            break
        if name in TYPES or namespace_of(name) in (None, "usr"):
            continue
        cells = merged.take(left, [name]).column(0).combine_chunks()
        left = left[~_has_value(cells)]
    return [int(r) for r in left]


def _has_value(cells: pa.Array) -> Mask:
    kind = cells.type
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        full = pc.greater(pc.list_value_length(cells), 0)
    elif pa.types.is_string(kind):
        full = pc.not_equal(cells, "")
    else:
        full = cells.is_valid()
    return np.asarray(pc.fill_null(full, False).to_numpy(zero_copy_only=False), bool)


def _groups(merged: Merged, live: Mask) -> list[tuple[RepairGroup, list[int]]]:
    """Return the groups of live rows that are equal when case is ignored (hidden rows stay)."""
    table = merged.table(["id", "bio_type", "sequence", "source", "created_at"])
    columns = {n: table.column(n).to_pylist() for n in table.schema.names}
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(columns["bio_type"], columns["sequence"], strict=True)):
        if live[row]:
            rows_of.setdefault((key[0], key[1].upper()), []).append(row)
    found = []
    for (kind, letters), rows in rows_of.items():
        if len(rows) > 1:
            rows.sort(key=lambda r: (columns["created_at"][r], columns["id"][r]))
            shown = tuple(
                RepairRow(*(columns[n][r] for n in ("id", "sequence", "source", "created_at")))
                for r in rows
            )
            found.append((RepairGroup(kind, letters, shown), rows))
    return found
