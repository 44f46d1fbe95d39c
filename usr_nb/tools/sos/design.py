"""Parts of the SOS promoter library, with the papers that the numbers come from.

Sources
-------
- sigma70 hexamer letter shares over 263 *E. coli* promoters: PMC106926.
- Consensus TTGACA / TATAAT and the 17 bp spacer optimum: PMID 6310517.
- Spacer series of *tac* (16/17/18 bp: relative log2 -2.5 / 0 / -1.3): PMID 3882710.
- *lac* TTTACA-18-TATGTT and *rrnB* P1 TTGTCA-16-TATAAT, *recA* TTGATA-16-TATAAT.
- Extended -10, T at -15 and G at -14: Nucleic Acids Res 2000, 1864-70.
- UP element, positions -59 to -38, nnAAAWWTWTTTTnnAAAAnnn: PMID 9707549; its proximal half
  AAAAAARNR: Genes Dev 13:2134.
- Anderson promoters J23100 to J23119: parts registry.
- LexA box TACTG(TA)5CAGTA: Mol Microbiol 2000, 01826; in *recA* the box is the spacer.
- CpxR box GTAAA(N)4-8GTAAA: PMC3158067.
- The grid of hexamers, UP elements, spacers and backgrounds follows PMC6389444, where the
  hexamers explain about 74 % of log expression.
- TTGACA, ACCGCG and GCAGGT as strong, middle and weak -35: the DenseGen plans.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

GcClass = Literal["low", "mid", "high"]
Up = Literal["none", "partial", "full"]
Tf = Literal["none", "lexa", "cpxr", "both"]
Strand = Literal["fwd", "rev"]

MINUS35_CONSENSUS: Final = "TTGACA"
MINUS10_CONSENSUS: Final = "TATAAT"
MINUS35_PERCENT: Final = (78, 82, 68, 58, 51, 55)
"""Share (%) of each consensus letter of the -35 hexamer, PMC106926."""
MINUS10_PERCENT: Final = (82, 90, 52, 59, 49, 89)
"""Share (%) of each consensus letter of the -10 hexamer, PMC106926."""

MINUS35: Final[Mapping[str, str]] = MappingProxyType(
    {
        "TTGACA": "consensus, J23119, DenseGen sigma70_high",
        "TTGACG": "J23100",
        "TTTACA": "lac, J23101",
        "TTGTCA": "rrnB P1",
        "TTGATA": "recA",
        "CTGATA": "J23103",
        "ACCGCG": "DenseGen sigma70_mid",
        "GCAGGT": "DenseGen sigma70_low",
    }
)
MINUS10: Final[Mapping[str, str]] = MappingProxyType(
    {
        "TATAAT": "consensus, J23119, rrnB P1, recA",
        "TATTAT": "J23101",
        "TATAGT": "J23106",
        "TATGTT": "lac",
        "TACAGT": "J23100",
        "TACTAT": "J23105",
        "GATTGT": "J23117",
        "GACTGT": "J23109",
    }
)
SPACERS: Final[Mapping[int, float]] = MappingProxyType(
    {15: 0.08, 16: 0.20, 17: 0.44, 18: 0.20, 19: 0.08}
)
"""Spacer length (bp) to its share of the designs; 17 is the optimum and the most used."""

UP_ELEMENTS: Final[Mapping[Up, str]] = MappingProxyType(
    {"none": "", "partial": "AAAAAAGTA", "full": "GGAAAATTATTTTTCAAAAGTA"}
)
"""Letters ending at -38: the proximal half, and a full element that fits the consensus."""
UP_ZONE: Final = 22
"""Length of -59 to -38; two more bases lie between it and the -35 hexamer."""
UP_GAP: Final = 2

LEXA_BOXES: Final[Mapping[str, float]] = MappingProxyType(
    {"CTGTATATATATACAG": 0.5, "CTGTATGAGCATACAG": 0.3, "CTGTATATACTCACAG": 0.2}
)
"""LexA box (consensus core, recA, core of lexA-1) to its share of the LexA designs."""
LEXA_LENGTH: Final = 16
LEXA_PATTERN: Final = "CTGTNNNNNNNNACAG"
LEXA_CORE: Final = "CTGTATATATATACAG"

CPXR_HALF: Final = "GTAAA"
CPXR_LINKERS: Final = (4, 5, 6, 7, 8)

TYPE_IIS: Final[Mapping[str, str]] = MappingProxyType(
    {"BsaI": "GGTCTC", "BsmBI": "CGTCTC", "BbsI": "GAAGAC", "SapI": "GCTCTTC"}
)
HOMOPOLYMER_MIN: Final = 8

BACKGROUNDS: Final = 200
GC_TARGET: Final[Mapping[GcClass, float]] = MappingProxyType(
    {"low": 0.35, "mid": 0.50, "high": 0.65}
)
STANDARD_LENGTH: Final = 60
OTHER_LENGTHS: Final = (40, 45, 50, 55, 80, 100, 150, 200, 250, 300)
OTHER_LENGTH_SHARE: Final = 0.08
BATCHES: Final = 16
SHIFTED_BATCH: Final = "batch_06"

_COMPLEMENT = str.maketrans("ACGTacgt", "TGCAtgca")


def reverse_complement(sequence: str) -> str:
    """Return the other strand of a DNA sequence, read 5' to 3'; case is kept.

    Parameters
    ----------
    sequence : str
        DNA of the letters ACGT in either case.

    Returns
    -------
    str
        A sequence of the same length.

    Examples
    --------
    >>> reverse_complement("GGTCTC")
    'GAGACC'
    """
    return sequence.translate(_COMPLEMENT)[::-1]


def hexamer_match(hexamer: str, *, element: Literal["minus35", "minus10"]) -> float:
    """Score a hexamer against the sigma70 letter shares, in bits below the consensus.

    A position that differs from the consensus costs log2 of the consensus share over a
    third of the rest, the three other letters being taken as equally frequent.

    Parameters
    ----------
    hexamer : str
        Six upper-case letters.
    element : {"minus35", "minus10"}
        Which hexamer of the promoter it is.

    Returns
    -------
    float
        Zero for the consensus, else negative (bits).

    Examples
    --------
    >>> hexamer_match("TATAAT", element="minus10")
    0.0
    >>> round(hexamer_match("TATGTT", element="minus10"), 2)
    -3.64
    """
    consensus, percent = (
        (MINUS35_CONSENSUS, MINUS35_PERCENT)
        if element == "minus35"
        else (MINUS10_CONSENSUS, MINUS10_PERCENT)
    )
    return 0.0 - sum(
        (
            math.log2(3 * share / (100 - share))
            for letter, best, share in zip(hexamer, consensus, percent, strict=True)
            if letter != best
        ),
        start=0.0,
    )


def plan_of(minus35: str) -> str:
    """Name the DenseGen plan of a -35 hexamer by its letters shared with TTGACA.

    Parameters
    ----------
    minus35 : str
        Six upper-case letters.

    Returns
    -------
    str
        ``sigma70_high`` (5 or 6 letters shared), ``sigma70_mid`` (1 to 4), ``sigma70_low``.

    Examples
    --------
    >>> [plan_of(hexamer) for hexamer in ("TTGACA", "ACCGCG", "GCAGGT")]
    ['sigma70_high', 'sigma70_mid', 'sigma70_low']
    """
    shared = sum(a == b for a, b in zip(minus35, MINUS35_CONSENSUS, strict=True))
    return f"sigma70_{'high' if shared >= 5 else 'mid' if shared else 'low'}"


@dataclass(frozen=True, slots=True)
class Screen:
    """What a sequence holds on either strand: counts, and the longest run of one letter."""

    type_iis: int
    longest_run: int
    lexa: int
    cpxr: int


def _either_strand(sites: Sequence[str]) -> re.Pattern[str]:
    both = sorted({site for one in sites for site in (one, reverse_complement(one))})
    return re.compile(f"(?=({'|'.join(both)}))")


_TYPE_IIS = _either_strand(list(TYPE_IIS.values()))
# Looser than LEXA_PATTERN on purpose: CTG-N10-CAG, CTGT-N8-ACAG and the exact boxes then all
# find the planted boxes and nothing else. All of them are their own reverse complement.
_LEXA = re.compile("(?=CTG.{10}CAG)")
_CPXR = re.compile("(?=GTAAA.{4,8}GTAAA|TTTAC.{4,8}TTTAC)")
_RUN = re.compile(r"(.)\1*")


def screen(sequence: str) -> Screen:
    """Count what the library controls: type IIS sites, runs, LexA and CpxR boxes.

    Parameters
    ----------
    sequence : str
        DNA in either case.

    Returns
    -------
    Screen
        Counts over both strands; overlapping hits count, a palindrome counts once.

    Examples
    --------
    >>> screen("ttGAGACCaaaaaaaa")
    Screen(type_iis=1, longest_run=8, lexa=0, cpxr=0)
    """
    upper = sequence.upper()
    return Screen(
        type_iis=len(_TYPE_IIS.findall(upper)),
        longest_run=max((len(run.group()) for run in _RUN.finditer(upper)), default=0),
        lexa=len(_LEXA.findall(upper)),
        cpxr=len(_CPXR.findall(upper)),
    )
