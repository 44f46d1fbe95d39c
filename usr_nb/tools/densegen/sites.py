"""Binding sites of one sequence: pure functions over text, no table and no disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypedDict

from usr_nb.contract.iupac import reverse_complement

DEFAULT_PLAN: Final = "sigma70_mid"
UPSTREAM: Final = {"sigma70_high": "TTGACA", "sigma70_mid": "ACCGCG", "sigma70_low": "GCAGGT"}
DOWNSTREAM: Final = "TATAAT"


class Site(TypedDict):
    """One entry of ``densegen__used_tfbs_detail``; ``offset`` is 0-based on the forward strand."""

    offset: int
    orientation: Literal["fwd", "rev"]
    tf: str
    tfbs: str


@dataclass(frozen=True)
class Part:
    """One binding site that a design asks for: factor in lower case, motif in upper case."""

    tf: str
    motif: str

    @property
    def text(self) -> str:
        """The entry as it stands in a column, ``tf:MOTIF``."""
        return f"{self.tf}:{self.motif}"


@dataclass(frozen=True)
class Derived:
    """What follows from a sequence, its plan and its parts."""

    used: list[Part]
    detail: list[Site]

    @property
    def factors(self) -> list[str]:
        """Sorted distinct factors of the parts found."""
        return sorted({p.tf for p in self.used})

    @property
    def counts(self) -> dict[str, int]:
        """Parts found per factor, factors in order."""
        return _count([p.tf for p in self.used])


def read_parts(entries: Sequence[str | None] | None, *, min_length: int = 1) -> list[Part]:
    """Return the usable entries of a parts column, in order.

    Entries without ``:``, with an empty side, or with a motif shorter than `min_length` letters
    are left out.

    Examples
    --------
    >>> [p.text for p in read_parts(["LexA:ctgt", "cpxr:A", "no colon", ":ACGT"], min_length=4)]
    ['lexa:CTGT']
    """
    parts = []
    for entry in entries or ():
        tf, _, motif = (entry or "").partition(":")
        part = Part(tf.strip().lower(), motif.strip().upper())
        if part.tf and part.motif and len(part.motif) >= min_length:
            parts.append(part)
    return parts


def is_single_base(entry: str | None) -> bool:
    """Say whether an entry shows the old fault: a motif of one letter.

    Examples
    --------
    >>> is_single_base("lexa:C"), is_single_base("lexa:CT")
    (True, False)
    """
    tf, _, motif = (entry or "").partition(":")
    return len(motif.strip()) == 1 and bool(tf.strip())


def factor_counts(entries: Sequence[str | None] | None) -> dict[str, int]:
    """Return how many entries each factor has, factors sorted.

    Examples
    --------
    >>> factor_counts(["lexa:CTGT", "cpxr:ACGT", "LexA:CTGT"])
    {'cpxr': 1, 'lexa': 2}
    """
    return _count([p.tf for p in read_parts(entries)])


def _count(factors: Sequence[str]) -> dict[str, int]:
    return {tf: factors.count(tf) for tf in sorted(set(factors))}


def find_part(
    sequence: str, motif: str, *, bio_type: str = "dna"
) -> tuple[int, Literal["fwd", "rev"]] | None:
    """Return (0-based offset, orientation) of the earliest match of a motif, or None.

    Parameters
    ----------
    sequence, motif : str
        Upper case. Forward wins where both strands match at the same offset.
    bio_type : {"dna", "rna", "protein"}
        A protein has no other strand.

    Examples
    --------
    >>> find_part("AACGTT", "CG"), find_part("TTTGAC", "GTC"), find_part("AAAA", "CC")
    ((2, 'fwd'), (3, 'rev'), None)
    """
    forward = sequence.find(motif)
    backward = -1
    if bio_type != "protein":
        backward = sequence.find(reverse_complement(motif, rna=bio_type == "rna"))
    if backward >= 0 and (forward < 0 or backward < forward):
        return backward, "rev"
    return (forward, "fwd") if forward >= 0 else None


def occurrences(sequence: str, word: str) -> Iterator[int]:
    """Yield the 0-based offset of every occurrence, overlapping ones too.

    Examples
    --------
    >>> list(occurrences("TATATA", "TATA"))
    [0, 2]
    """
    at = sequence.find(word)
    while at >= 0:
        yield at
        at = sequence.find(word, at + 1)


def plan_name(plan: str | None) -> str:
    """Return the plan of a row; a row that names none has the default plan.

    Examples
    --------
    >>> plan_name(None), plan_name(" sigma70_low")
    ('sigma70_mid', 'sigma70_low')
    """
    return (plan or "").strip() or DEFAULT_PLAN


def promoter_sites(sequence: str, plan: str) -> list[Site]:
    """Return the sigma70 hexamers of a plan in an upper-case sequence, forward strand only.

    A plan that is not known has none: its hexamers would be a guess.

    Examples
    --------
    >>> [(s["offset"], s["tf"]) for s in promoter_sites("TTGACATATAAT", "sigma70_high")]
    [(0, 'sigma70_high_upstream'), (6, 'sigma70_high_downstream')]
    """
    upstream = UPSTREAM.get(plan)
    if upstream is None:
        return []
    return [
        Site(offset=at, orientation="fwd", tf=f"{plan}_{side}", tfbs=word)
        for side, word in (("upstream", upstream), ("downstream", DOWNSTREAM))
        for at in occurrences(sequence, word)
    ]


def derive(
    sequence: str, plan: str | None, parts: Sequence[Part], *, bio_type: str = "dna"
) -> Derived:
    """Return which parts a sequence uses, and where they and the plan's hexamers lie.

    Parameters
    ----------
    sequence : str
        As stored; its case does not count.
    plan : str or None
        ``sigma70_high``, ``sigma70_mid`` or ``sigma70_low``; None is the default plan.
    parts : sequence of Part
        What the design asked for.

    Returns
    -------
    Derived
        ``detail`` is sorted by (offset, tf); each part found has one entry.

    Examples
    --------
    >>> found = derive("ccTTGACAgg", "sigma70_high", read_parts(["lexa:CCTT", "cpxr:AAAA"]))
    >>> [p.text for p in found.used], [(s["offset"], s["tf"]) for s in found.detail]
    (['lexa:CCTT'], [(0, 'lexa'), (2, 'sigma70_high_upstream')])
    """
    upper = sequence.upper()
    used: list[Part] = []
    detail: list[Site] = []
    for part in parts:
        found = find_part(upper, part.motif, bio_type=bio_type)
        if found is not None:
            used.append(part)
            detail.append(Site(offset=found[0], orientation=found[1], tf=part.tf, tfbs=part.motif))
    detail += promoter_sites(upper, plan_name(plan))
    return Derived(used, sorted(detail, key=lambda s: (s["offset"], s["tf"])))


def is_well_formed(detail: Any) -> bool:
    """Say whether a detail cell is a list whose entries are complete and in order.

    Examples
    --------
    >>> is_well_formed([]), is_well_formed(None), is_well_formed([None])
    (True, False, False)
    """
    if not isinstance(detail, list):
        return False
    for site in detail:
        if not isinstance(site, dict) or any(
            site.get(k) is None for k in ("offset", "orientation", "tf", "tfbs")
        ):
            return False
        if site["orientation"] not in ("fwd", "rev") or site["offset"] < 0 or not site["tfbs"]:
            return False
    order = [(s["offset"], s["tf"]) for s in detail]
    return order == sorted(order)
