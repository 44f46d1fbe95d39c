"""One entry of an old DenseGen file: its keys, read as cells of registered columns."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from usr_nb.contract.names import storable
from usr_nb.errors import SchemaError
from usr_nb.tools.densegen.sites import factor_counts
from usr_nb.tools.densegen.survey import COUNTS, DETAIL, FACTORS, PARTS, PLAN, TYPES, USED

#: The column of the 60 bp dual promoter profile; its name holds ``__`` more than once.
LOGITS: Final = "infer__evo2_7b__60bp_dual_promoter_cpxR_LexA__logits_mean"
LOGITS_KEY: Final = "evo2_logits_mean_pooled"
LOGITS_SIZE: Final = 512
_INT64: Final = 2**63

_SOLVED: Final = {
    "densegen__compression_ratio": "float64",
    "densegen__diverse": "bool",
    "densegen__gap_fill_used": "bool",
    "densegen__gap_fill_bases": "float64",
    "densegen__gap_fill_end": "string",
    "densegen__gap_fill_gc_min": "float64",
    "densegen__gap_fill_gc_max": "float64",
    "densegen__sequence_length": "int64",
    "densegen__solver": "string",
    "densegen__visual": "string",
    "densegen__promoter_constraint": "string",
}
#: What is registered: also the detail, which a later repair derives.
DECLARED: Final = {
    "densegen": {**TYPES, **_SOLVED},
    "infer": {LOGITS: "list<float64>"},
}
#: What a conversion writes into the namespace ``densegen``.
CONVERTED: Final = tuple(n for n in DECLARED["densegen"] if n != DETAIL)


def _is_text(value: object) -> bool:
    """Say whether a value is text that a file can hold (no half of a surrogate pair)."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


class Reader:
    """Reads the cells of one entry; a value of another kind is an error that names its place."""

    def __init__(self, body: Mapping[Any, Any], where: str) -> None:
        self.body = body
        self.where = where

    def get(self, *path: str | int) -> Any:
        """Return the value at a path of keys, or None where there is none; tensors as lists."""
        value: Any = self.body
        for n, step in enumerate(path):
            if value is None:
                return None
            if isinstance(step, int):
                if not isinstance(value, list | tuple):
                    raise self.fail(path[:n], value, "list")
                value = value[step] if step < len(value) else None
            elif isinstance(value, Mapping):
                value = value.get(step)
            else:
                raise self.fail(path[:n], value, "dict")
        if not hasattr(value, "tolist"):
            return value
        try:
            return value.tolist()
        except (RuntimeError, TypeError, ValueError):
            # A tensor of a kind without values, which a hostile file may hold.
            raise self.fail(path, type(value).__name__, "plain tensor") from None

    def fail(self, path: tuple[str | int, ...], value: object, wanted: str) -> SchemaError:
        """Build the error for a value that cannot be read."""
        name = ".".join(str(p) for p in path)
        # Not repr: a value may be huge, or nested too deeply for it.
        return SchemaError(
            f"{self.where}: {name} is {reprlib.repr(value)[:80]}, not a {wanted}",
            hint="Mend the entry, or leave its file out. Nothing was written.",
        )

    def text(self, *path: str | int) -> str | None:
        """Return text, or None."""
        value = self.get(*path)
        if value is not None and not _is_text(value):
            raise self.fail(path, value, "string")
        return None if value is None else str(value)

    def number(self, *path: str | int) -> float | None:
        """Return a number, or None."""
        value = self.get(*path)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fail(path, value, "number")
        try:
            return float(value)
        except OverflowError:
            raise self.fail(path, value, "number") from None

    def whole(self, *path: str | int) -> int | None:
        """Return a whole number, or None."""
        value = self.get(*path)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not -_INT64 <= value < _INT64:
            raise self.fail(path, value, "whole number")
        return value

    def flag(self, *path: str | int) -> bool | None:
        """Return true or false, or None."""
        value = self.get(*path)
        if value is not None and not isinstance(value, bool):
            raise self.fail(path, value, "bool")
        return value

    def texts(self, *path: str | int) -> list[str] | None:
        """Return a list of text, or None."""
        value = self.get(*path)
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not all(map(_is_text, value)):
            raise self.fail(path, value, "list of strings")
        return list(value)

    def gc_range(self) -> tuple[float | None, float | None]:
        """Return the lowest and highest GC content of the gap fill."""
        path = ("meta_gap_fill_details", "fill_gc_range")
        value = self.get(*path)
        if value is None:
            return None, None
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise self.fail(path, value, "pair of numbers")
        return self.number(*path, 0), self.number(*path, 1)

    def logits(self) -> npt.NDArray[np.float64] | None:
        """Return the pooled logits, float64 of shape (512,), or None; [1, 512] is flattened."""
        value: Any = self.body.get(LOGITS_KEY)
        if value is None:
            return None
        shape = getattr(value, "shape", None)
        if shape is not None and tuple(shape) not in ((LOGITS_SIZE,), (1, LOGITS_SIZE)):
            shown = f"an array of shape {tuple(shape)}"
            raise self.fail((LOGITS_KEY,), shown, f"list of {LOGITS_SIZE} numbers")
        try:
            array = np.asarray(self.get(LOGITS_KEY), np.float64)
        except (TypeError, ValueError, OverflowError):
            array = np.empty(0)
        if array.shape not in ((LOGITS_SIZE,), (1, LOGITS_SIZE)):
            raise self.fail((LOGITS_KEY,), value, f"list of {LOGITS_SIZE} numbers")
        return array.reshape(LOGITS_SIZE)


def densegen_cells(body: Mapping[Any, Any], *, plan: str | None, where: str) -> dict[str, Any]:
    """Return the ``densegen`` cells of one entry; counts are a dict from factor to number.

    Parameters
    ----------
    body : mapping
        The entry.
    plan : str or None
        The plan of every row; None: the entry's own.
    where : str
        File and entry, for messages.

    Raises
    ------
    SchemaError
        If a key holds a value of another kind.

    Examples
    --------
    >>> entry = {"meta_tfbs_parts": ["lexa:CTGT"], "meta_gap_fill": True}
    >>> cells = densegen_cells(entry, plan=None, where="a.pt, entry 1")
    >>> cells["densegen__gap_fill_used"], cells["densegen__used_tf_counts"]
    (True, {'lexa': 1})
    """
    r = Reader(body, where)
    used = r.texts("meta_tfbs_parts_in_array")
    parts = r.texts("meta_tfbs_parts")
    parts = used if parts is None else parts
    placed = parts if used is None else used
    counts = None if placed is None else factor_counts(placed)
    gc_min, gc_max = r.gc_range()
    details = "meta_gap_fill_details"
    return {
        PLAN: storable(plan) if plan is not None else r.text("plan"),
        PARTS: parts,
        USED: used,
        FACTORS: None if counts is None else list(counts),
        COUNTS: counts,
        "densegen__compression_ratio": r.number("meta_compression_ratio"),
        "densegen__diverse": r.flag("diverse_solution"),
        "densegen__gap_fill_used": r.flag("meta_gap_fill"),
        "densegen__gap_fill_bases": r.number(details, "fill_gap"),
        "densegen__gap_fill_end": r.text(details, "fill_end"),
        "densegen__gap_fill_gc_min": gc_min,
        "densegen__gap_fill_gc_max": gc_max,
        "densegen__sequence_length": r.whole("sequence_length"),
        "densegen__solver": r.text("solver"),
        "densegen__visual": r.text("meta_sequence_visual"),
        "densegen__promoter_constraint": r.text(
            "fixed_elements", "promoter_constraints", 0, "name"
        ),
    }
