"""Choosing records that differ from each other by at least so many letters.

Method: greedy, in the given order. A record is kept if its distance to every record kept before
is at least the minimum; else it is passed over. This is the greedy incremental clustering of
CD-HIT (Li & Godzik, Bioinformatics 22:1658, 2006) with an exact distance in place of its
identity threshold. Edit distance is Levenshtein's (Sov. Phys. Dokl. 10:707, 1966), computed in
a band as wide as the minimum needs (Ukkonen, Inf. Control 64:100, 1985). Case is ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from usr_nb.contract.progress import tracked
from usr_nb.errors import ValidationError

Metric = Literal["hamming", "edit"]
METRICS: Final[tuple[Metric, ...]] = ("hamming", "edit")
#: Pairs that may have to be compared; 50,000 records with each other.
MAX_PAIRS: Final = 2_500_000_000
_FIRST_ROOM: Final = 64
#: Letters after which sequences that are too far already are dropped.
_LOOK_EVERY: Final = 4

Codes = npt.NDArray[np.uint32]


class Texts(Protocol):
    """Texts that can be counted and gone through; they need not all be in memory."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...


def far_apart(
    texts: Texts,
    *,
    metric: Metric,
    minimum: int,
    fixed: int = 0,
    wanted: Callable[[int], bool] = lambda _: True,
    most: int | None = None,
) -> Iterator[bool]:
    """Say for each text, in order, whether it is far enough from all that were kept before.

    Parameters
    ----------
    texts : sequence of str, or anything with a length that yields text
        The sequences, best first; read as they are looked at.
    metric : {"hamming", "edit"}
        Hamming counts differing letters of sequences of one length; sequences of different
        lengths are far apart. Edit counts substitutions, insertions and deletions.
    minimum : int
        The least distance, 1 or more; 1 only drops equal sequences.
    fixed : int
        The first so many are kept without a look.
    wanted : callable
        Asked with the place of each other text, when its turn comes, whether it may be kept.
    most : int, optional
        No more than so many will be kept.

    Raises
    ------
    ValidationError
        If the metric is unknown, the minimum below 1, or there may be more than 2.5 billion pairs.

    Examples
    --------
    >>> list(far_apart(["ACGT", "ACGA", "TTTT"], metric="hamming", minimum=2))
    [True, False, True]
    """
    if metric not in METRICS:
        raise ValidationError(f"A distance is one of {', '.join(METRICS)}")
    if isinstance(minimum, bool) or not isinstance(minimum, int) or minimum < 1:
        raise ValidationError("The least distance is a whole number of 1 or more")
    if len(texts) * min(len(texts), len(texts) if most is None else most) > MAX_PAIRS:
        raise ValidationError(
            f"{len(texts):,} records are too many to compare with each other",
            hint="Narrow them with a filter, or ask for fewer with top=.",
        )
    near = _hamming_near if metric == "hamming" else _edit_near
    return _one_by_one(texts, lambda text, kept: near(text, kept, minimum), fixed, wanted)


def _one_by_one(
    texts: Texts,
    near: Callable[[Codes, _Kept], bool],
    fixed: int,
    wanted: Callable[[int], bool],
) -> Iterator[bool]:
    kept = _Kept()
    for place, text in enumerate(tracked(texts, "comparing", total=len(texts), size=lambda _: 1)):
        letters = _letters(text)
        keep = place < fixed or (wanted(place) and not near(letters, kept))
        if keep:
            kept.add(letters)
        yield keep


def _letters(text: str) -> Codes:
    return np.frombuffer(text.upper().encode("utf-32-le"), np.uint32)


class _Kept:
    """The sequences kept so far, as rows of one array that grows by doubling."""

    def __init__(self) -> None:
        self.many = 0
        self.table = np.zeros((_FIRST_ROOM, _FIRST_ROOM), np.uint32)
        self.sizes = np.zeros(_FIRST_ROOM, np.int64)

    def add(self, letters: Codes) -> None:
        rows, width = self.table.shape
        if self.many == rows or len(letters) > width:
            rows = rows * 2 if self.many == rows else rows
            wider = np.zeros((rows, max(width, 2 * len(letters))), np.uint32)
            wider[: self.many, :width] = self.table[: self.many]
            self.table = wider
            self.sizes = np.concatenate([self.sizes, np.zeros(rows - len(self.sizes), np.int64)])
        self.table[self.many, : len(letters)] = letters
        self.sizes[self.many] = len(letters)
        self.many += 1

    def of_size(self, low: int, high: int) -> tuple[Codes, npt.NDArray[np.int64]]:
        """Return those of at least `low` and at most `high` letters, and their lengths."""
        sizes = self.sizes[: self.many]
        rows = np.flatnonzero((sizes >= low) & (sizes <= high))
        return self.table[rows, : max(high, 0)], sizes[rows]


def _hamming_near(letters: Codes, kept: _Kept, minimum: int) -> bool:
    others, _ = kept.of_size(len(letters), len(letters))
    if len(others) == 0:
        return False  # The table may be narrower than a sequence longer than all in it.
    return bool(((others != letters).sum(axis=1) < minimum).any())


def _edit_near(letters: Codes, kept: _Kept, minimum: int) -> bool:
    """Say whether any kept sequence is fewer than `minimum` edits away."""
    reach = minimum - 1
    n = len(letters)
    others, sizes = kept.of_size(n - reach, n + reach)
    if len(others) == 0:
        return False
    return _within(letters, others, sizes, reach)


def _within(
    letters: Codes,
    others: Codes,
    sizes: npt.NDArray[np.int64],
    reach: int,
) -> bool:
    """Say whether any other sequence is at most `reach` edits away.

    One row of the table per letter, only its 2 `reach` + 1 cells around the diagonal: column o
    of the band is place ``i + o - reach`` of the other sequence.
    """
    n, m = len(letters), others.shape[1]
    band = 2 * reach + 1
    far = reach + 1
    steps = np.arange(band, dtype=np.int32)
    # Room on both sides, so that the band never leaves the array; 0 is no letter.
    padded = np.zeros((len(others), m + 2 * band), np.uint32)
    padded[:, band : band + m] = others
    place = steps - reach
    row = np.where(place >= 0, place, far).astype(np.int32)
    row = np.broadcast_to(row, (len(others), band)).copy()
    for i in range(1, n + 1):
        place = steps + (i - reach)
        at = band + i - reach - 1
        same = padded[:, at : at + band] == letters[i - 1]
        through = row + ~same
        down = np.full_like(row, far)
        down[:, :-1] = row[:, 1:] + 1
        best = np.minimum(through, down)
        best[:, place < 0] = far
        best[:, place == 0] = i
        # A step along the row costs 1 each: the least of all that came before it, plus the way.
        row = np.minimum(np.minimum.accumulate(best - steps, axis=1) + steps, far).astype(np.int32)
        row[:, place < 0] = far
        if i % _LOOK_EVERY == 0:
            # The least cell of the band never sinks: who is far now stays far.
            near = row.min(axis=1) <= reach
            row, padded, sizes = row[near], padded[near], sizes[near]
            if not len(row):
                return False
    end = row[np.arange(len(row)), sizes - n + reach]
    return bool((end <= reach).any())
