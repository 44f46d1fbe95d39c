"""What a filter means, once more and in plain Python: one row at a time, no Arrow, no NumPy tricks.

A row is a mapping column → value. Times are exact fractions of a second since 1970.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from usr_nb.filter import tree
from usr_nb.filter.feature import Feature

CODES = {
    "A": "A", "C": "C", "G": "G", "T": "TU", "U": "TU", "R": "AG", "Y": "CTU", "S": "CG",
    "W": "ATU", "K": "GTU", "M": "AC", "B": "CGTU", "D": "AGTU", "H": "ACTU", "V": "ACG",
    "N": "ACGTUN",
}  # fmt: skip
OTHER = dict(zip("ACGTURYSWKMBDHVN", "TGCAAYRSWMKVHDBN", strict=True))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def isnan(value: Any) -> bool:
    return isinstance(value, float | np.floating) and math.isnan(value)


# Values -------------------------------------------------------------------------------------------


def leaf_type(feature: Feature, schema: pa.Schema) -> pa.DataType | None:
    if feature.computed:
        return pa.float64() if feature.name == "gc" else None
    dtype = schema.field(feature.name).type
    for step in feature.path:
        dtype = dtype.value_type if isinstance(step, int) else dtype.field(step).type
    if feature.reducer in ("min", "max"):
        return dtype.value_type
    return pa.float64() if feature.reducer == "mean" else dtype


def value_of(feature: Feature, row: dict[str, Any]) -> Any:
    if feature.computed:
        return computed(feature.name, row)
    value = row[feature.name]
    for step in feature.path:
        if value is None:
            return None
        if isinstance(step, str):
            value = value[step]
        else:
            place = step if step >= 0 else len(value) + step
            value = value[place] if 0 <= place < len(value) else None
    if feature.reducer is None or value is None:
        return value
    if feature.reducer == "len":
        return len(value)
    numbers = [v for v in value if v is not None and not isnan(v)]
    if not numbers:
        return None
    if feature.reducer == "mean":
        total = 0.0
        for n in numbers:
            total = total + float(n)
        return total / len(numbers)
    return min(numbers) if feature.reducer == "min" else max(numbers)


def computed(name: str, row: dict[str, Any]) -> Any:
    if name == "gc":
        known = [c for c in (row["sequence"] or "").upper() if c in "ACGTU"]
        if not known or row.get("bio_type") == "protein":
            return None
        return sum(c in "GC" for c in known) / len(known)
    if name == "masked":
        return bool(row.get("usr_state__masked"))
    if name == "deleted":
        return bool(row.get("usr__deleted"))
    return row.get(f"usr_state__{name}")


def as_column(value: Any, dtype: pa.DataType | None) -> Any:
    """A number or time of a filter as the column holds it."""
    if isinstance(value, datetime):
        past = value - EPOCH
        return Fraction((past.days * 86_400 + past.seconds) * 10**6 + past.microseconds, 10**6)
    if (
        dtype is None
        or value is None
        or isinstance(value, bool | str)
        or not pa.types.is_floating(dtype)
    ):
        return value
    kind = {16: np.float16, 32: np.float32, 64: np.float64}[dtype.bit_width]
    with np.errstate(over="ignore"):
        near = float(kind(float(value)))
    return float(value) if math.isinf(near) else near


# Tests --------------------------------------------------------------------------------------------


def keeps(where: tree.Filter, row: dict[str, Any], schema: pa.Schema) -> bool:
    if isinstance(where, tree.And):
        return all(keeps(c, row, schema) for c in where.of)
    if isinstance(where, tree.Or):
        return any(keeps(c, row, schema) for c in where.of)
    if isinstance(where, tree.Not):
        return not keeps(where.inner, row, schema)
    value = value_of(where.feature, row)
    if isinstance(where, tree.IsNull):
        return value is None
    if value is None:
        return False
    return holds(where, value, leaf_type(where.feature, schema))


def holds(where: tree.Filter, value: Any, dtype: pa.DataType | None) -> bool:
    if isinstance(where, tree.IsNaN):
        return isnan(value)
    if isinstance(where, tree.In):
        return any(value == as_column(v, dtype) for v in where.values)
    if isinstance(where, tree.Range):
        if isnan(value):
            return False
        low, high = as_column(where.low, dtype), as_column(where.high, dtype)
        inside = True
        if low is not None:
            inside = value > low if where.low_open else value >= low
        if high is not None:
            inside = inside and (value < high if where.high_open else value <= high)
        return inside != where.outside
    if isinstance(where, tree.Text):
        text, wanted = value, where.text
        if not where.case:
            text, wanted = text.lower(), wanted.lower()
        if where.how == "contains":
            return wanted in text
        return text.startswith(wanted) if where.how == "startswith" else text.endswith(wanted)
    if isinstance(where, tree.Regex):
        flags = 0 if where.case else re.IGNORECASE
        return re.search(where.pattern, value, flags) is not None
    assert isinstance(where, tree.Motif)
    return bool(hits(value, where.motif, strand=where.strand, mismatches=where.mismatches,
                     start=where.start, circular=where.circular))  # fmt: skip


# Motifs -------------------------------------------------------------------------------------------


def tokens(motif: str) -> list[tuple[str, int, int]]:
    found = []
    for code, _, low, _, high in re.findall(
        r"([A-Z])(\{(\d+)(,(\d+))?\})?", motif.upper().replace(" ", "")
    ):
        least = int(low) if low else 1
        found.append((code, least, int(high) if high else least))
    return found


def spelled(parts: list[tuple[str, int, int]]) -> list[str]:
    if not parts:
        return [""]
    code, low, high = parts[0]
    return [code * n + rest for n in range(low, high + 1) for rest in spelled(parts[1:])]


def hits(
    sequence: str,
    motif: str,
    *,
    strand: str = "both",
    mismatches: int = 0,
    start: tuple[int, int] | None = None,
    circular: bool = False,
) -> list[tuple[int, int, str, int]]:
    """Every (start, end, strand, mismatches), each place once, the better strand first."""
    forward = tokens(motif)
    backward = [(OTHER[c], a, b) for c, a, b in reversed(forward)]
    looked = [("+", forward)] if strand != "-" else []
    looked += [("-", backward)] if strand != "+" else []
    text = sequence.upper()
    n = len(text)
    best: dict[tuple[int, int], tuple[int, str]] = {}
    for sign, parts in looked:
        for word in set(spelled(parts)):
            for at in range(n):
                if (at + len(word) > n and not circular) or len(word) > n:
                    continue
                if start is not None and not start[0] <= at < start[1]:
                    continue
                read = (text + text)[at : at + len(word)]
                missed = sum(c not in CODES[w] for c, w in zip(read, word, strict=True))
                if missed <= mismatches:
                    key = (at, at + len(word))
                    best[key] = min(best.get(key, (99, "")), (missed, sign))
    return sorted((a, b, sign, missed) for (a, b), (missed, sign) in best.items())
