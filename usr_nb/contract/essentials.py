"""Essential columns, ids and alphabets (contract REC)."""

from __future__ import annotations

import hashlib
from typing import Final

import pyarrow as pa

from usr_nb.errors import AlphabetError, ValidationError, did_you_mean, join_hints

SCHEMA_VERSION: Final = "1"
ID_HASH_SPEC: Final = "sha1_utf8_pipe"

META_SCHEMA_VERSION: Final = b"usr:schema_version"
META_ID_HASH: Final = b"usr:id_hash"
META_CREATED_AT: Final = b"usr:dataset_created_at"
META_REGISTRY_HASH: Final = b"usr:registry_hash"

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")

ARROW_SCHEMA: Final[pa.Schema] = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("bio_type", pa.string(), nullable=False),
        pa.field("sequence", pa.string(), nullable=False),
        pa.field("alphabet", pa.string(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("created_at", TIMESTAMP, nullable=False),
    ]
)
REQUIRED_COLUMNS: Final[tuple[str, ...]] = tuple(ARROW_SCHEMA.names)
ESSENTIALS: Final = frozenset(REQUIRED_COLUMNS)

_AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
ALPHABETS: Final[dict[str, str]] = {
    "dna_4": "ACGT",
    "dna_5": "ACGTN",
    "rna_4": "ACGU",
    "rna_5": "ACGUN",
    "protein_20": _AMINO_ACIDS,
    "protein_21": _AMINO_ACIDS + "X",
}
BIO_TYPES: Final[tuple[str, ...]] = ("dna", "rna", "protein")


def normalize_sequence(sequence: str) -> str:
    r"""Return ``sequence.strip()``: what is stored and hashed; the case is kept (REC-2).

    Examples
    --------
    >>> normalize_sequence("  ACgt\n")
    'ACgt'
    """
    if not isinstance(sequence, str):
        raise ValidationError(f"A sequence is text, not {type(sequence).__name__}")
    return sequence.strip()


def validate_bio_type(bio_type: str) -> str:
    """Return `bio_type` if it is exactly ``dna``, ``rna`` or ``protein`` (REC-3)."""
    if bio_type not in BIO_TYPES:
        raise ValidationError(
            f"bio_type {str(bio_type)[:40]!r} is not one of {', '.join(BIO_TYPES)}",
            hint=did_you_mean(str(bio_type), BIO_TYPES),
        )
    return bio_type


def validate_alphabet(alphabet: str, bio_type: str | None = None) -> str:
    """Return `alphabet` if it exists and, where `bio_type` is given, belongs to it (REC-3)."""
    if not isinstance(alphabet, str) or alphabet not in ALPHABETS:
        raise ValidationError(
            f"alphabet {str(alphabet)[:40]!r} is not one of {', '.join(ALPHABETS)}",
            hint=did_you_mean(str(alphabet), ALPHABETS),
        )
    if bio_type is not None and alphabet.split("_", maxsplit=1)[0] != validate_bio_type(bio_type):
        fitting = [a for a in ALPHABETS if a.startswith(f"{bio_type}_")]
        raise ValidationError(
            f"alphabet '{alphabet}' does not belong to bio_type '{bio_type}'",
            hint=f"Use {' or '.join(fitting)}.",
        )
    return alphabet


def compute_id(bio_type: str, sequence: str) -> str:
    """Return the record id: SHA-1 over ``bio_type|sequence.strip()`` in UTF-8 (REC-2).

    Parameters
    ----------
    bio_type : str
        ``dna``, ``rna`` or ``protein``.
    sequence : str
        Letters; surrounding white space does not count, case does.

    Returns
    -------
    str
        40 lower-case hexadecimal digits.

    Examples
    --------
    >>> compute_id("dna", "ACGT") == compute_id("dna", " ACGT ")
    True
    """
    text = f"{validate_bio_type(bio_type)}|{normalize_sequence(sequence)}"
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValidationError(
            f"The sequence holds {text[error.start]!r}, which is no character",
            hint="Read the file it came from with its right encoding.",
        ) from None
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def first_bad_letter(sequence: str, alphabet: str) -> tuple[int, str] | None:
    """Return (0-based position, letter) of the first letter outside `alphabet`, or None.

    Examples
    --------
    >>> first_bad_letter("acgn", "dna_4")
    (3, 'n')
    """
    letters = ALPHABETS[alphabet]
    allowed = set(letters + letters.lower())
    return next(((i, c) for i, c in enumerate(sequence) if c not in allowed), None)


def alphabet_hint(letter: str, alphabet: str) -> str | None:
    """Return what a wrong letter most likely means."""
    up = letter.upper()
    kind = alphabet.split("_", maxsplit=1)[0]
    if letter == "*" and kind == "protein":
        return "A trailing '*' is a stop codon: import with --strip-stop (strip_stop=True)."
    if up == "N" and alphabet in ("dna_4", "rna_4"):
        return f"N means any base: use alphabet {kind}_5."
    if up == "X" and alphabet == "protein_20":
        return "X means any residue: use alphabet protein_21."
    if up == "U" and kind == "dna":
        return "U is an RNA letter: import with bio_type rna and alphabet rna_4."
    if up == "T" and kind == "rna":
        return "T is a DNA letter: import with bio_type dna and alphabet dna_4."
    if letter in "-.":
        return "Gaps are not stored: remove them first."
    return None if kind == "protein" else _no_base_hint(up, kind)


def _no_base_hint(letter: str, kind: str) -> str | None:
    if letter in "RYSWKMBDHV":
        return (
            f"{letter} is an IUPAC code for several bases, which no alphabet holds: write N there "
            f"and use alphabet {kind}_5. If this is protein, import it with bio_type protein."
        )
    if letter in ALPHABETS["protein_20"]:
        return "If this is protein, import it with bio_type protein (--bio-type protein)."
    return None


def alphabet_error(row: int, position: int, letter: str, alphabet: str, more: int) -> AlphabetError:
    """Build the error for a wrong letter; `row` is 1-based, `position` 0-based."""
    rows = "row has" if more == 1 else "rows have"
    others = f" ({more:,} more {rows} wrong letters)" if more else ""
    return AlphabetError(
        f"Row {row}: letter {letter!r} at position {position + 1} is not in {alphabet}{others}",
        hint=join_hints(alphabet_hint(letter, alphabet), "Nothing was imported."),
    )
