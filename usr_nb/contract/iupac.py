"""Degenerate motifs as patterns (contract GET-2).

Codes: IUPAC-IUB, Cornish-Bowden, Nucleic Acids Res. 13:3021 (1985).
"""

from __future__ import annotations

import re
from typing import Final

from usr_nb.errors import ValidationError

IUPAC: Final[dict[str, str]] = {
    "A": "A", "C": "C", "G": "G", "T": "TU", "U": "TU",
    "R": "AG", "Y": "CTU", "S": "CG", "W": "ATU", "K": "GTU", "M": "AC",
    "B": "CGTU", "D": "AGTU", "H": "ACTU", "V": "ACG", "N": "ACGTUN",
}  # fmt: skip
COMPLEMENT: Final[dict[str, str]] = dict(zip("ACGTURYSWKMBDHVN", "TGCAAYRSWMKVHDBN", strict=True))
DEGENERATE: Final = frozenset("RYSWKMBDHVN")
_TOKEN = re.compile(r"\s*([A-Za-z])(\{[0-9]{1,4}(?:,[0-9]{1,4})?\})?\s*")
_RC_TABLE = str.maketrans("ACGTURYSWKMBDHVNacgturyswkmbdhvn", "TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")
_RC_RNA = str.maketrans("ACGUNacgun", "UGCANugcan")


def reverse_complement(sequence: str, *, rna: bool = False) -> str:
    """Return the reverse complement, case kept.

    Examples
    --------
    >>> reverse_complement("AAcg"), reverse_complement("AUG", rna=True)
    ('cgTT', 'CAU')
    """
    return sequence.translate(_RC_RNA if rna else _RC_TABLE)[::-1]


def parse_motif(motif: str) -> list[tuple[str, str]]:
    """Return the motif as (code, quantifier) pairs.

    Raises
    ------
    ValidationError
        If it is empty, too long, or holds a letter that is no IUPAC nucleotide code.

    Examples
    --------
    >>> parse_motif("TTG N{16,18} R")
    [('T', ''), ('T', ''), ('G', ''), ('N', '{16,18}'), ('R', '')]
    """
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(motif):
        m = _TOKEN.match(motif, at)
        code = m.group(1).upper() if m else ""
        quantifier = (m.group(2) or "") if m else ""
        low, _, high = quantifier.strip("{}").partition(",")
        bad_range = bool(high) and int(high) < int(low)
        if m is None or code not in IUPAC or bad_range or (low and int(high or low) > 1000):
            raise ValidationError(
                f"Motif {motif[:60]!r}: {motif[at : at + 8]!r} at position {at + 1} is not allowed",
                hint="Use IUPAC letters (ACGTU RYSWKM BDHV N) and counts like N{16,18}.",
            )
        tokens.append((code, quantifier))
        at = m.end()
    if not tokens or len(tokens) > 500:
        raise ValidationError("A motif has 1 to 500 letters")
    return tokens


def motif_pattern(motif: str, *, both_strands: bool = False) -> str:
    """Return the motif as an RE2 pattern, for either strand where asked.

    A motif letter matches only the bases it stands for; N matches any base, N included.

    Examples
    --------
    >>> motif_pattern("TTR")
    '[TU][TU][AG]'
    """
    tokens = parse_motif(motif)
    forward = _pattern(tokens)
    if not both_strands:
        return forward
    backward = _pattern([(COMPLEMENT[c], q) for c, q in reversed(tokens)])
    return forward if backward == forward else f"(?:{forward})|(?:{backward})"


def _pattern(tokens: list[tuple[str, str]]) -> str:
    parts = (IUPAC[c] if len(IUPAC[c]) == 1 else f"[{IUPAC[c]}]" for c, _ in tokens)
    return "".join(p + q for p, (_, q) in zip(parts, tokens, strict=True))
