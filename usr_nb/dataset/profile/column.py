"""Statistics of one column of any type, batch by batch: lists and structs are opened."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.types import type_text
from usr_nb.dataset.profile.model import Lists, Stats
from usr_nb.dataset.profile.numbers import NumberTally
from usr_nb.dataset.profile.words import BoolTally, WordTally

#: Longest vector of which the mean of each place is worked out.
MOST_PLACES: Final = 4_096


class Tally:
    """Statistics of one column, or of what is nested in it, in bounded memory.

    Parameters
    ----------
    dtype : pyarrow.DataType
        Its type.
    sample : int
        Rows that are searched for an example.
    full : bool
        False: only what ``describe`` shows.
    """

    def __init__(self, dtype: pa.DataType, *, sample: int, full: bool) -> None:
        self.dtype = dtype
        self.rows = self.nulls = 0
        self.example: Any = None
        self._left = sample
        numeric = pa.types.is_integer(dtype) or pa.types.is_floating(dtype)
        ranged = numeric or pa.types.is_timestamp(dtype)
        self.numbers = NumberTally(dtype, full=full) if ranged else None
        self.words: WordTally | BoolTally | None = None
        if pa.types.is_string(dtype):
            self.words = WordTally(counting=full)
        elif pa.types.is_boolean(dtype):
            self.words = BoolTally()
        is_list = pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype)
        self.lists = ListTally(dtype, full=full) if is_list else None
        nested = full and pa.types.is_struct(dtype)
        self.children = [
            (f.name, Tally(f.type, sample=sample, full=True)) for f in (dtype if nested else ())
        ]

    def add(self, values: pa.Array) -> None:
        """Take in one batch."""
        self.rows += len(values)
        self.nulls += values.null_count
        if self.example is None and self._left > 0:
            looked = values.slice(0, self._left).drop_null()
            self.example = looked[0].as_py() if len(looked) else None
            self._left -= len(values)
        for one in (self.numbers, self.words, self.lists):
            if one is not None:
                one.add(values)
        if self.children:
            # Flattened, so that a field of a null struct is null.
            for (_, child), field in zip(self.children, values.flatten(), strict=True):
                child.add(field)

    def settle(self) -> None:
        """Do what takes long of the result, so that several columns can do it at once."""
        if isinstance(self.words, WordTally):
            self.words.settle()
        for _, child in self.children:
            child.settle()
        if self.lists is not None and self.lists.elements is not None:
            self.lists.elements.settle()

    def result(self, like: Tally | None = None) -> Stats:
        """Return what was found; with `like` histograms have the bins of that tally."""
        numbers = self.numbers.result(like=like.numbers if like else None) if self.numbers else None
        lists = self.lists.result(like.lists if like else None) if self.lists else None
        leads = [c for _, c in like.children] if like else [None] * len(self.children)
        children = tuple(
            (name, type_text(child.dtype), child.result(lead))
            for (name, child), lead in zip(self.children, leads, strict=True)
        )
        words = self.words.result() if self.words else None
        return Stats(self.rows, self.nulls, self.example, numbers, words, lists, children)


class ListTally:
    """How long lists are, and if asked for what is in them."""

    def __init__(self, dtype: pa.DataType, *, full: bool) -> None:
        self.fixed = dtype.list_size if pa.types.is_fixed_size_list(dtype) else None
        self.lengths = NumberTally(pa.int32(), full=full)
        inner = dtype.value_type
        self.elements = Tally(inner, sample=1_024, full=True) if full else None
        numeric = pa.types.is_integer(inner) or pa.types.is_floating(inner)
        self.places: _Places | None = _Places() if full and numeric else None

    def add(self, values: pa.Array) -> None:
        """Take in one batch."""
        lengths = pc.list_value_length(values)
        self.lengths.add(lengths)
        if self.elements is None:
            return
        # Null lists leave nothing behind, also where their items lie hidden in the buffer.
        items = pc.list_flatten(values)
        self.elements.add(items)
        if self.places is not None and not self.places.add(items, lengths):
            self.places = None

    def result(self, like: ListTally | None = None) -> Lists:
        """Return what was found."""
        lengths = self.lengths.result(like=like.lengths if like else None)
        lead = like.elements if like else None
        elements = self.elements.result(lead) if self.elements else None
        return Lists(lengths, elements, self.places.means() if self.places else None)


class _Places:
    """Sum of each place of vectors that all have one length."""

    def __init__(self) -> None:
        self.length: int | None = None
        self.sums: npt.NDArray[np.float64] = np.zeros(0)
        self.counts: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def add(self, items: pa.Array, lengths: pa.Array) -> bool:
        """Take in one batch; False once the lists are no vectors."""
        ends = pc.min_max(lengths)
        low, high = ends["min"].as_py(), ends["max"].as_py()
        if low is None:
            return True
        if low != high or not 0 < low <= MOST_PLACES or self.length not in (None, low):
            return False
        if self.length is None:
            self.length = int(low)
            self.sums, self.counts = np.zeros(low), np.zeros(low, np.int64)
        wide = items.cast(pa.float32()) if pa.types.is_float16(items.type) else items
        numbers = wide.to_numpy(zero_copy_only=False).reshape(-1, self.length)
        if items.null_count == 0 and (numbers.dtype.kind != "f" or _all_finite(numbers)):
            self.sums += numbers.sum(axis=0, dtype=np.float64)
            self.counts += len(numbers)
            return True
        numbers = numbers.astype(np.float64)
        finite = np.isfinite(numbers)
        self.sums += np.where(finite, numbers, 0).sum(axis=0)
        self.counts += finite.sum(axis=0)
        return True

    def means(self) -> tuple[float | None, ...] | None:
        """Return the mean of each place."""
        if self.length is None:
            return None
        return tuple(
            float(s / n) if n else None for s, n in zip(self.sums, self.counts, strict=True)
        )


def _all_finite(numbers: npt.NDArray[Any]) -> bool:
    # A sum is finite only if every number is; one pass, no mask.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(numbers.sum(dtype=np.float64)))
