"""Draw the designs of the SOS library: pure, seeded, and screened so that counts are exact."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import pyarrow as pa

from usr_nb.errors import ValidationError
from usr_nb.tools.sos import design
from usr_nb.tools.sos.design import GcClass, Strand, Tf, Up, reverse_complement, screen
from usr_nb.tools.sos.table import LIBRARY_SCHEMA

BSAI_PLANTED: Final = 20
HOMOPOLYMERS_PLANTED: Final = 15
RC_PAIRS: Final = 10
CASEFOLD_PAIRS: Final = 10
MIN_ROWS: Final = 500

_TF_SHARE: Final[Mapping[Tf, float]] = {"none": 0.6, "lexa": 0.18, "cpxr": 0.14, "both": 0.08}
_UP_SHARE: Final[Mapping[Up, float]] = {"none": 0.4, "partial": 0.3, "full": 0.3}
_EXT10_SHARE: Final = 0.2
_FLANK: Final = 120
_DOWNSTREAM: Final = 9
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Background:
    """Filler of a design: letters up to the -35, between the hexamers, and after the -10."""

    name: str
    gc_class: GcClass
    upstream: str
    spacer: str
    downstream: str


@dataclass(frozen=True, slots=True)
class Design:
    """One promoter; starts are 0-based offsets into ``sequence``."""

    sequence: str
    minus35: str
    minus35_start: int
    minus10: str
    minus10_start: int
    spacer: int
    up: Up
    ext10: bool
    tf: Tf
    background: str
    gc_class: GcClass
    lexa_box: str = ""
    lexa_start: int | None = None
    lexa_strand: str = ""
    cpxr_box: str = ""
    cpxr_start: int | None = None
    cpxr_strand: str = ""
    strand: Strand = "fwd"
    planted: str = ""


def design_library(seed: int = 7, rows: int = 20_000) -> pa.Table:
    """Draw a library of sigma70 promoters with LexA and CpxR boxes.

    The sequences are all different, and, but for the planted pairs, also when case or strand
    is ignored. LexA (CTG-N10-CAG) and CpxR boxes, type IIS sites (BsaI, BsmBI, BbsI, SapI) and
    runs of eight or more occur on either strand only where they were placed. A CpxR box
    takes the place of the UP element, a LexA box needs a spacer of 16 or more, and boxes and
    UP elements need a length of 60 or more (a LexA box fits any).

    Parameters
    ----------
    seed : int
        Same seed, same library.
    rows : int
        Number of designs, at least 500.

    Returns
    -------
    pyarrow.Table
        ``rows`` rows, columns of ``LIBRARY_SCHEMA``. Nothing is written to disk.

    Raises
    ------
    ValidationError
        ``rows`` is too small to hold what is planted.

    Examples
    --------
    >>> library = design_library(seed=1, rows=500)
    >>> library.num_rows, len(set(library["sequence"].to_pylist()))
    (500, 500)
    """
    if rows < MIN_ROWS:
        raise ValidationError(
            f"A library of {rows} rows cannot hold what is planted",
            hint=f"Ask for {MIN_ROWS} rows or more.",
        )
    # random.random() is the one generator whose stream Python promises never to change, and
    # everything below draws from it alone: the committed file can be made again anywhere.
    rng = random.Random(seed)
    designs = _draw_designs(rng, rows - RC_PAIRS - CASEFOLD_PAIRS)
    designs = _shuffle(rng, _plant(rng, designs))
    per_batch = -(-rows // design.BATCHES)
    return pa.Table.from_pylist(
        [
            _row(one, name=f"sos_{at:05d}", batch=f"batch_{(at - 1) // per_batch + 1:02d}")
            for at, one in enumerate(designs, start=1)
        ],
        schema=LIBRARY_SCHEMA,
    )


def _row(one: Design, *, name: str, batch: str) -> dict[str, Any]:
    cells = {field: getattr(one, field) for field in Design.__dataclass_fields__}
    return {"name": name, "length": len(one.sequence), "batch": batch, **cells}


def _below(rng: random.Random, n: int) -> int:
    return int(rng.random() * n)


def _pick(rng: random.Random, weights: Mapping[_T, float]) -> _T:
    left = rng.random() * sum(weights.values())
    for item, weight in weights.items():
        left -= weight
        if left < 0:
            return item
    return item


def _shuffle(rng: random.Random, items: list[_T]) -> list[_T]:
    out = list(items)
    for at in range(len(out) - 1, 0, -1):
        other = _below(rng, at + 1)
        out[at], out[other] = out[other], out[at]
    return out


def _letters(rng: random.Random, length: int, gc: float) -> str:
    weights = {"A": 1 - gc, "C": gc, "G": gc, "T": 1 - gc}
    return "".join(_pick(rng, weights) for _ in range(length))


def _draw_backgrounds(rng: random.Random) -> list[Background]:
    """Draw fillers whose GC share near the promoter is within 5 points of their class."""
    found: list[Background] = []
    classes = list(design.GC_TARGET)
    while len(found) < design.BACKGROUNDS:
        gc_class = classes[len(found) % len(classes)]
        target = design.GC_TARGET[gc_class]
        up = _letters(rng, _FLANK + design.UP_ZONE + design.UP_GAP, target)
        spacer = _letters(rng, max(design.SPACERS), target)
        down = _letters(rng, _FLANK + _DOWNSTREAM, target)
        near = up[_FLANK:] + spacer + down[:_DOWNSTREAM]
        gc = sum(letter in "GC" for letter in near) / len(near)
        # The filler is also cut where the hexamers go, so it is screened piece by piece.
        hits = [screen(piece) for piece in (up, spacer, down)]
        clean = all(h.type_iis + h.lexa + h.cpxr == 0 and h.longest_run < 6 for h in hits)
        if abs(gc - target) <= 0.05 and clean and spacer[-3:-1] != "TG":
            name = f"bg_{len(found) + 1:03d}"
            found.append(Background(name, gc_class, up, spacer, down))
    return found


def _draw_designs(rng: random.Random, rows: int) -> list[Design]:
    backgrounds = _draw_backgrounds(rng)
    found: list[Design] = []
    seen: set[str] = set()
    while len(found) < rows:
        one = _draw_one(rng, backgrounds[_below(rng, len(backgrounds))])
        other = reverse_complement(one.sequence)
        if one.sequence in seen or other in seen or one.sequence == other or not _as_planned(one):
            continue
        seen.add(one.sequence)
        found.append(one)
    return found


def _as_planned(one: Design, *, type_iis: int = 0, longest_run: int | None = None) -> bool:
    hits = screen(one.sequence)
    run = hits.longest_run
    run_fits = run < design.HOMOPOLYMER_MIN if longest_run is None else run == longest_run
    boxes = (int(bool(one.lexa_box)), int(bool(one.cpxr_box)))
    return run_fits and hits.type_iis == type_iis and (hits.lexa, hits.cpxr) == boxes


@dataclass(frozen=True, slots=True)
class _Factors:
    length: int
    minus35: str
    minus10: str
    spacer: int
    up: Up
    ext10: bool
    tf: Tf

    @property
    def has_lexa(self) -> bool:
        return self.tf in {"lexa", "both"}

    @property
    def has_cpxr(self) -> bool:
        return self.tf in {"cpxr", "both"}


def _draw_factors(rng: random.Random) -> _Factors:
    """Draw levels that fit together: see the rules in :func:`design_library`."""
    length = design.STANDARD_LENGTH
    if rng.random() < design.OTHER_LENGTH_SHARE:
        length = design.OTHER_LENGTHS[_below(rng, len(design.OTHER_LENGTHS))]
    tf = _pick(rng, _TF_SHARE)
    if length < design.STANDARD_LENGTH:
        tf = "lexa" if tf in {"lexa", "both"} else "none"
    lexa, cpxr = tf in {"lexa", "both"}, tf in {"cpxr", "both"}
    up: Up = "none"
    if length >= design.STANDARD_LENGTH and not cpxr:
        up = _pick(rng, _UP_SHARE)
    shares = {n: w for n, w in design.SPACERS.items() if n >= design.LEXA_LENGTH or not lexa}
    spacer = _pick(rng, shares)
    # A box and TG at -15/-14 fit together only in the longest spacer.
    ext10 = rng.random() < _EXT10_SHARE and (not lexa or spacer >= design.LEXA_LENGTH + 3)
    minus35 = list(design.MINUS35)[_below(rng, len(design.MINUS35))]
    minus10 = list(design.MINUS10)[_below(rng, len(design.MINUS10))]
    return _Factors(length, minus35, minus10, spacer, up, ext10, tf)


def _draw_one(rng: random.Random, background: Background) -> Design:
    """Lay drawn factors over a background; extra length goes half before, half after."""
    factors = _draw_factors(rng)
    core = factors.spacer + len(factors.minus35) + len(factors.minus10)
    extra = max(0, factors.length - design.STANDARD_LENGTH)
    after = extra // 2 + design.STANDARD_LENGTH - (design.UP_ZONE + design.UP_GAP) - core
    before = factors.length - core - after
    zone_end = before - design.UP_GAP
    upstream, middle = background.upstream[-before:], background.spacer[-factors.spacer :]
    boxes: dict[str, Any] = {}
    if factors.up != "none":
        element = design.UP_ELEMENTS[factors.up]
        upstream = _overwrite(upstream, zone_end - len(element), element)
    if factors.has_cpxr:
        upstream, cells = _place_cpxr(rng, upstream, zone_start=zone_end - design.UP_ZONE)
        boxes |= cells
    if factors.ext10:
        middle = _overwrite(middle, factors.spacer - 3, "TG")
    if factors.has_lexa:
        slack = factors.spacer - design.LEXA_LENGTH - (3 if factors.ext10 else 0)
        offset = before + len(factors.minus35)
        middle, cells = _place_lexa(rng, middle, slack=slack, offset=offset)
        boxes |= cells
    tail = background.downstream[:after]
    return Design(
        sequence=upstream + factors.minus35 + middle + factors.minus10 + tail,
        minus35=factors.minus35,
        minus35_start=before,
        minus10=factors.minus10,
        minus10_start=before + len(factors.minus35) + factors.spacer,
        spacer=factors.spacer,
        up=factors.up,
        ext10=factors.ext10,
        tf=factors.tf,
        background=background.name,
        gc_class=background.gc_class,
        **boxes,
    )


def _overwrite(text: str, at: int, piece: str) -> str:
    return text[:at] + piece + text[at + len(piece) :]


def _orient(rng: random.Random, box: str) -> tuple[Strand, str]:
    """Pick a strand; a palindrome reads the same on both and counts as forward."""
    turn = rng.random() < 0.5 and box != reverse_complement(box)
    return ("rev", reverse_complement(box)) if turn else ("fwd", box)


def _place_lexa(
    rng: random.Random, middle: str, *, slack: int, offset: int
) -> tuple[str, dict[str, Any]]:
    box = _pick(rng, design.LEXA_BOXES)
    strand, letters = _orient(rng, box)
    at = _below(rng, slack + 1)
    cells = {"lexa_box": box, "lexa_start": offset + at, "lexa_strand": strand}
    return _overwrite(middle, at, letters), cells


def _place_cpxr(
    rng: random.Random, upstream: str, *, zone_start: int
) -> tuple[str, dict[str, Any]]:
    """Set two half sites into the UP zone; the background gives the letters between them."""
    linker = design.CPXR_LINKERS[_below(rng, len(design.CPXR_LINKERS))]
    size = 2 * len(design.CPXR_HALF) + linker
    at = zone_start + _below(rng, design.UP_ZONE - size + 1)
    between = upstream[at + len(design.CPXR_HALF) : at + len(design.CPXR_HALF) + linker]
    box = design.CPXR_HALF + between + design.CPXR_HALF
    strand, letters = _orient(rng, box)
    cells = {"cpxr_box": box, "cpxr_start": at, "cpxr_strand": strand}
    return _overwrite(upstream, at, letters), cells


def _plant(rng: random.Random, designs: list[Design]) -> list[Design]:
    """Change 35 plain designs, and give 20 others a twin."""
    out = list(designs)
    plain = [
        at
        for at, one in enumerate(out)
        if (one.tf, one.up) == ("none", "none") and len(one.sequence) == design.STANDARD_LENGTH
    ]
    places = iter(_shuffle(rng, plain))
    for _ in range(BSAI_PLANTED):
        at = next(places)
        out[at] = _with_bsai(rng, out[at])
    for _ in range(HOMOPOLYMERS_PLANTED):
        at = next(places)
        out[at] = _with_homopolymer(rng, out[at])
    twins: list[Design] = []
    for kind, pairs in (("rc_pair", RC_PAIRS), ("casefold_pair", CASEFOLD_PAIRS)):
        for pair in range(1, pairs + 1):
            at = next(places)
            out[at] = replace(out[at], planted=f"{kind}_{pair:02d}")
            twins.append(_turned(out[at]) if kind == "rc_pair" else _lowered(out[at]))
    return out + twins


def _with_bsai(rng: random.Random, one: Design) -> Design:
    site = design.TYPE_IIS["BsaI"]
    while True:
        piece = site if rng.random() < 0.5 else reverse_complement(site)
        at = _below(rng, design.UP_ZONE - len(piece) + 1)
        changed = replace(one, sequence=_overwrite(one.sequence, at, piece), planted="bsai")
        if _as_planned(changed, type_iis=1):
            return changed


def _with_homopolymer(rng: random.Random, one: Design) -> Design:
    while True:
        run = design.HOMOPOLYMER_MIN + _below(rng, 5)
        piece = "ACGT"[_below(rng, 4)] * run
        at = _below(rng, design.UP_ZONE - run + 1)
        changed = replace(one, sequence=_overwrite(one.sequence, at, piece), planted="homopolymer")
        if _as_planned(changed, longest_run=run):
            return changed


def _lowered(one: Design) -> Design:
    return replace(one, sequence=one.sequence.lower())


def _turned(one: Design) -> Design:
    """Turn a design without boxes to its other strand; its starts move along."""
    size = len(one.sequence)
    return replace(
        one,
        sequence=reverse_complement(one.sequence),
        minus35_start=size - one.minus35_start - len(one.minus35),
        minus10_start=size - one.minus10_start - len(one.minus10),
        strand="rev",
    )
