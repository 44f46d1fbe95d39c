"""Searching degenerate motifs: both strands, mismatches, anchors, circular sequences.

A *hit* is a place (start, end) of a sequence where the motif fits. Overlapping hits all count,
and a motif with a count such as ``N{16,18}`` may fit the same start with several ends. A place
that fits on both strands, as any place of a palindrome does, is one hit: on the strand with
fewer mismatches, on ``+`` if they are equal.

Letters are compared without regard to case; T and U are one letter. A motif letter fits only
the bases it stands for, ``N`` fits any base and N. Positions are 0-based and half-open in the
sequence as it is stored, on either strand.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.iupac import COMPLEMENT, motif_pattern, parse_motif
from usr_nb.errors import ValidationError
from usr_nb.filter.letters import BIT_OF_BYTE, Bytes, Int, Letters, letters_of, mask_of_code

Mask = npt.NDArray[np.bool_]
#: Where something may start, and how many letters do not fit there so far.
_Found = tuple[Int, npt.NDArray[np.uint8]]
Strand = Literal["+", "-", "both"]

MAX_MISMATCHES: Final = 3
#: Lengths that the counts of one motif may be multiplied out to, and the longest of them.
MAX_SHAPES: Final = 512
MAX_WIDTH: Final = 2_000
#: Letters looked at in one go: what a processor's cache holds.
_PIECE: Final = 1 << 17
#: A run of letters is compared everywhere until about this share of places is left.
_FEW: Final = 1 / 64


@dataclass(frozen=True)
class MotifSearch:
    """A motif made ready to be searched; see :func:`motif_search`."""

    motif: str
    strand: Strand
    mismatches: int
    start: tuple[int, int] | None
    circular: bool
    forms: tuple[_Form, ...]
    regex: str | None

    @property
    def width(self) -> int:
        """Letters of the longest form."""
        return max(f.width for f in self.forms)


@dataclass(frozen=True)
class _Form:
    """One strand of a motif: its shapes, and the run of letters that all of them have."""

    minus: bool
    run: tuple[int, ...]
    #: Letters before the run and after it, for each shape.
    around: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

    @property
    def width(self) -> int:
        return len(self.run) + max(len(a) + len(b) for a, b in self.around)


@dataclass(frozen=True)
class Places:
    """Hits in some texts, ordered by row, start and end.

    Attributes
    ----------
    row, start, end : numpy.ndarray of int64
        The text (0-based) and where in it, half-open; on a circular sequence `end` may lie
        beyond its length.
    minus : numpy.ndarray of bool
        Whether the hit is on the reverse strand.
    mismatches : numpy.ndarray of uint8
        Letters that do not fit.
    """

    row: Int
    start: Int
    end: Int
    minus: Mask
    mismatches: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.row)


@functools.lru_cache(maxsize=256)
def motif_search(
    motif: str,
    *,
    strand: Strand = "both",
    mismatches: int = 0,
    start: tuple[int, int] | None = None,
    circular: bool = False,
) -> MotifSearch:
    """Read a motif and make it ready.

    Parameters
    ----------
    motif : str
        IUPAC letters and counts, as ``TTGACA N{16,18} TATAAT``; either case, spaces ignored.
    strand : {"both", "+", "-"}
        Where it is looked for.
    mismatches : int
        How many letters may be others, 0 to 3.
    start : tuple of int, optional
        Only hits whose leftmost letter lies within [a, b), 0-based.
    circular : bool
        Whether a hit may run over the end into the beginning; it never laps itself.

    Raises
    ------
    ValidationError
        If the motif is malformed (it says at which letter), may be empty, is longer than 2,000
        letters, or its counts multiply out to more than 512 lengths.

    Examples
    --------
    >>> motif_search("TTGACA N{16,18} TATAAT").width
    30
    """
    if strand not in ("both", "+", "-"):
        raise ValidationError("A strand is one of both, +, -")
    if isinstance(mismatches, bool) or mismatches not in range(MAX_MISMATCHES + 1):
        raise ValidationError(f"Mismatches are 0 to {MAX_MISMATCHES}")
    tokens = parse_motif(motif)
    back = [(COMPLEMENT[c], q) for c, q in reversed(tokens)]
    _check_size(motif, tokens)
    forms = []
    if strand != "-":
        forms.append(_form(tokens, mismatches, minus=False))
    # A palindrome fits the same places on both strands, so it is looked for on one.
    if strand == "-" or (strand == "both" and _pieces(back) != _pieces(tokens)):
        forms.append(_form(back, mismatches, minus=True))
    return MotifSearch(
        motif, strand, mismatches, start, circular, tuple(forms),
        None if mismatches or start or circular else _regex(tokens, back, strand),
    )  # fmt: skip


def _regex(tokens: list[tuple[str, str]], back: list[tuple[str, str]], strand: str) -> str | None:
    """Return the RE2 expression for a search without mismatches, or None if RE2 refuses it."""
    text = "".join(c + q for c, q in (back if strand == "-" else tokens))
    pattern = motif_pattern(text, both_strands=strand == "both")
    try:
        pc.match_substring_regex(pa.array([""]), pattern, ignore_case=True)
    except pa.ArrowException:
        return None
    return pattern


# Making shapes ------------------------------------------------------------------------------------


def _counts(quantifier: str) -> tuple[int, int]:
    if not quantifier:
        return 1, 1
    low, _, high = quantifier.strip("{}").partition(",")
    return int(low), int(high or low)


def _check_size(motif: str, tokens: list[tuple[str, str]]) -> None:
    shapes, least, most = 1, 0, 0
    for _, quantifier in tokens:
        low, high = _counts(quantifier)
        shapes = min(shapes * (high - low + 1), MAX_SHAPES + 1)
        least, most = least + low, most + high
    if least == 0:
        raise ValidationError(
            f"Motif {motif[:60]!r} may be empty", hint="Give at least one letter a count above 0."
        )
    if shapes > MAX_SHAPES or most > MAX_WIDTH:
        raise ValidationError(
            f"Motif {motif[:60]!r} is too wide: at most {MAX_WIDTH:,} letters and "
            f"{MAX_SHAPES} different lengths",
            hint="Narrow its counts, as N{16,18}.",
        )


def _pieces(tokens: list[tuple[str, str]]) -> list[tuple[int, int]]:
    """Return (letters as bits, how many more there may be); 0 more is a letter that is there."""
    found: list[tuple[int, int]] = []
    for code, quantifier in tokens:
        low, high = _counts(quantifier)
        bits = mask_of_code(code)
        found += [(bits, 0)] * low
        if high > low:
            found.append((bits, high - low))
    return found


def _form(tokens: list[tuple[str, str]], mismatches: int, *, minus: bool) -> _Form:
    pieces = _pieces(tokens)
    low, high = _best_run(pieces, mismatches)
    before, after = _multiplied(pieces[:low]), _multiplied(pieces[high:])
    around = sorted(set(itertools.product(before, after)))
    return _Form(minus, tuple(bits for bits, _ in pieces[low:high]), tuple(around))


def _best_run(pieces: list[tuple[int, int]], mismatches: int) -> tuple[int, int]:
    """Return the run of letters, [low, high), that fits by chance at the fewest places."""
    best, at = 2.0, (0, 0)
    low = 0
    for fixed, group in itertools.groupby(pieces, key=lambda p: p[1] == 0):
        run = [bits for bits, _ in group]
        if fixed and (share := _chance(run, mismatches)[-1]) < best:
            best, at = share, (low, low + len(run))
        low += len(run)
    return at


def _multiplied(pieces: list[tuple[int, int]]) -> list[tuple[int, ...]]:
    options = [[(bits,) * n for n in range(more + 1)] if more else [(bits,)]
               for bits, more in pieces]  # fmt: skip
    return [tuple(itertools.chain.from_iterable(p)) for p in itertools.product(*options)]


def _chance(run: Sequence[int], mismatches: int) -> list[float]:
    """Return the share of random places that are left after 1, 2, ... letters of a run."""
    chances = [1.0] + [0.0] * mismatches
    left = []
    for bits in run:
        fits = (bits & 15).bit_count() / 4
        chances = [
            chances[k] * fits + (chances[k - 1] * (1 - fits) if k else 0.0)
            for k in range(mismatches + 1)
        ]
        left.append(sum(chances))
    return left or [1.0]


# Searching ----------------------------------------------------------------------------------------


def rows_with_hit(values: pa.Array, search: MotifSearch) -> Mask:
    """Return which texts hold the motif; a null text does not.

    Examples
    --------
    >>> rows_with_hit(pa.array(["ttACGtt", "CCCC", None]), motif_search("ACG")).tolist()
    [True, False, False]
    """
    if search.regex is not None:
        found = pc.match_substring_regex(values, search.regex, ignore_case=True)
        return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), bool)
    out = np.zeros(len(values), bool)
    for form, place, mismatches in _raw(ready := _ready(values, search), search):
        row, *_ = ready.keep(form, place, mismatches, search)
        out[row] = True
    return out


def find_places(values: pa.Array, search: MotifSearch) -> Places:
    """Return every hit in some texts.

    Parameters
    ----------
    values : pyarrow.Array of string
        The texts; a null has no hit.
    search : MotifSearch
        From :func:`motif_search`.

    Examples
    --------
    >>> found = find_places(pa.array(["AACGTTACG"]), motif_search("ACG"))
    >>> list(zip(found.start.tolist(), found.end.tolist(), found.minus.tolist()))
    [(1, 4, False), (2, 5, True), (6, 9, False)]
    """
    ready = _ready(values, search)
    kept = [ready.keep(f, place, m, search) for f, place, m in _raw(ready, search)]
    if not kept:
        none = np.zeros(0, np.int64)
        return Places(none, none, none, none.astype(bool), none.astype(np.uint8))
    row, start, end, minus, missed = (np.concatenate(column) for column in zip(*kept, strict=True))
    # The best of equal places first; one place counts once.
    order = np.lexsort((minus, missed, end, start, row))
    row, start, end = row[order], start[order], end[order]
    first = np.ones(len(row), bool)
    first[1:] = (np.diff(row) != 0) | (np.diff(start) != 0) | (np.diff(end) != 0)
    return Places(
        row[first], start[first], end[first],
        minus[order][first].astype(bool), missed[order][first].astype(np.uint8),
    )  # fmt: skip


@dataclass(frozen=True)
class _Shape:
    minus: bool
    width: int


@dataclass(frozen=True)
class _Ready:
    """Texts as bits with room on both sides, so that no look-up leaves the array."""

    bits: Bytes
    room: int
    text: Letters
    #: Letters of each row before it was made longer to be circular.
    sizes: Int
    clean: bool

    def keep(
        self, shape: _Shape, place: Int, missed: npt.NDArray[np.uint8], search: MotifSearch
    ) -> tuple[Int, Int, Int, Mask, npt.NDArray[np.uint8]]:
        """Return (row, start, end, minus, mismatches) of those places that lie inside one text."""
        row = np.searchsorted(self.text.offsets, place, side="right") - 1
        inside = (place >= 0) & (row < self.text.rows)
        row, place, missed = row[inside], place[inside], missed[inside]
        start = place - self.text.offsets[row]
        good = start + shape.width <= self.text.offsets[row + 1] - self.text.offsets[row]
        if search.circular:
            good &= (start < self.sizes[row]) & (shape.width <= self.sizes[row])
        if search.start is not None:
            good &= (start >= search.start[0]) & (start < search.start[1])
        row, start, missed = row[good], start[good], missed[good]
        return row, start, start + shape.width, np.full(len(row), shape.minus), missed


def _ready(values: pa.Array, search: MotifSearch) -> _Ready:
    text = letters_of(values)
    sizes = np.diff(text.offsets)
    bits = BIT_OF_BYTE[text.data]
    if search.circular:
        longer = sizes + np.minimum(sizes, search.width - 1)
        offsets = np.concatenate([[0], np.cumsum(longer)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], longer)
        within %= np.repeat(np.maximum(sizes, 1), longer)
        bits = bits[np.repeat(text.offsets[:-1], longer) + within]
        text = Letters(bits, offsets)
    clean = bool(bits.all())
    room = search.width
    padded = np.zeros(len(bits) + 2 * room, np.uint8)
    padded[room : room + len(bits)] = bits
    return _Ready(padded, room, text, sizes, clean)


def _raw(ready: _Ready, search: MotifSearch) -> Iterator[tuple[_Shape, Int, npt.NDArray[np.uint8]]]:
    """Yield (shape, start in the joined letters, mismatches) of all fits, across borders too."""
    letters = len(ready.bits) - 2 * ready.room
    for form in search.forms:
        # A run may begin as far behind the start of a hit as the widest form goes.
        for low in range(0, letters, _PIECE):
            high = min(low + _PIECE, letters)
            at, missed = _fits(ready, form.run, low, high, search.mismatches)
            if not len(at):
                continue
            for before, after in form.around:
                start = at - len(before)
                place, count = _checked(ready, (start, missed), before, 0, search.mismatches)
                behind = len(before) + len(form.run)
                place, count = _checked(ready, (place, count), after, behind, search.mismatches)
                if len(place):
                    width = len(before) + len(form.run) + len(after)
                    yield _Shape(form.minus, width), place, count


def _fits(ready: _Ready, run: tuple[int, ...], low: int, high: int, mismatches: int) -> _Found:
    """Return where in [low, high) a run fits, and its mismatches there."""
    telling = [(j, bits) for j, bits in enumerate(run) if not (bits == 31 and ready.clean)]
    # The letters that say most first, so that few places are left soon.
    telling.sort(key=lambda t: (t[1].bit_count(), t[0]))
    shares = _chance([bits for _, bits in telling], mismatches)
    dense = next((i + 1 for i, share in enumerate(shares) if share <= _FEW), len(telling))
    base = low + ready.room
    size = high - low
    count = np.zeros(size, np.uint8)
    for j, bits in telling[:dense]:
        letters = ready.bits[base + j : base + j + size]
        count += (letters & np.uint8(bits)) == 0
    at = np.flatnonzero(count <= mismatches)
    rest = telling[dense:]
    found = (at.astype(np.int64) + low, count[at])
    for j, bits in rest:
        found = _one_more(ready, found, j, bits, mismatches)
    return found


def _checked(
    ready: _Ready,
    found: _Found,
    letters: tuple[int, ...],
    offset: int,
    mismatches: int,
) -> _Found:
    """Return those starts where some more letters fit too."""
    for j, bits in enumerate(letters):
        if bits == 31 and ready.clean:
            continue
        found = _one_more(ready, found, offset + j, bits, mismatches)
        if not len(found[0]):
            break
    return found


def _one_more(ready: _Ready, found: _Found, j: int, bits: int, mismatches: int) -> _Found:
    start, missed = found
    missed = missed + ((ready.bits[start + (ready.room + j)] & np.uint8(bits)) == 0)
    keep = missed <= mismatches
    return start[keep], missed[keep].astype(np.uint8)
