"""What the explorer asks of a table: which columns, lengths, GC, and how many rows match.

Everything works on a table in memory (a :class:`~usr_nb.analysis.sampling.Sample`), returns
plain values, and writes nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.analysis.sampling import Sample
from usr_nb.errors import SchemaError, did_you_mean, join_hints, some

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

SEQUENCE: Final = "sequence"
_NUCLEOTIDES: Final = "^[ACGTUNacgtun]*$"


# ------------------------------------------------------------------ columns


def numeric_columns(schema: pa.Schema) -> list[str]:
    """Return the columns of integers and floats, in order; vectors and bools are none.

    Examples
    --------
    >>> numeric_columns(pa.schema([("n", pa.int32()), ("ok", pa.bool_()), ("s", pa.string())]))
    ['n']
    """
    return [f.name for f in schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]


def _is_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype))


def column_of(table: pa.Table, name: str) -> pa.ChunkedArray:
    """Return a column of the table, or raise SchemaError with a "did you mean".

    Examples
    --------
    >>> column_of(pa.table({"n": [1]}), "n").to_pylist()
    [1]
    """
    if name not in table.column_names:
        raise SchemaError(
            f"There is no column {name!r}",
            hint=join_hints(
                did_you_mean(name, table.column_names),
                f"Columns: {some(table.column_names, 12)}.",
            ),
        )
    return table.column(name)


def sequence_lengths(table: pa.Table) -> Floats:
    """Return the length of each sequence in letters; NaN where there is none.

    Raises
    ------
    SchemaError
        There is no text column ``sequence``.

    Examples
    --------
    >>> sequence_lengths(pa.table({"sequence": ["ACGT", None]})).tolist()
    [4.0, nan]
    """
    return _floats(pc.utf8_length(_sequences(table)))


def gc_fraction(table: pa.Table) -> Floats:
    """Return the share of G and C among the known letters (A, C, G, T, U) of each sequence.

    Parameters
    ----------
    table : pyarrow.Table
        With ``sequence``; with ``bio_type``, only DNA and RNA have a GC content, and without
        it, sequences of the letters ACGTUN. Case is ignored.

    Returns
    -------
    numpy.ndarray of float64
        0 to 1; NaN where there is no known letter, no sequence, or no nucleotide sequence.

    Raises
    ------
    SchemaError
        There is no text column ``sequence``.

    Examples
    --------
    >>> gc_fraction(pa.table({"sequence": ["ACgt", "NNGC", "NNN"]})).tolist()
    [0.5, 1.0, nan]
    """
    sequences = _sequences(table)
    upper = pc.ascii_upper(sequences)
    counts = {letter: _floats(pc.count_substring(upper, letter)) for letter in "ACGTU"}
    if "bio_type" in table.column_names:
        nucleic = pc.is_in(table["bio_type"], pa.array(["dna", "rna"]))
    else:
        nucleic = pc.match_substring_regex(sequences, _NUCLEOTIDES)
    strong = counts["G"] + counts["C"]
    known = strong + counts["A"] + counts["T"] + counts["U"]
    defined = (known > 0) & _bools(nucleic)
    fraction: Floats = np.divide(strong, known, out=np.full(len(known), np.nan), where=defined)
    return fraction


def _sequences(table: pa.Table) -> pa.ChunkedArray:
    column = column_of(table, SEQUENCE)
    if not _is_text(column.type):
        raise SchemaError(f"Column 'sequence' is {column.type}, not text")
    return column


def numbers(table: pa.Table, name: str) -> Floats:
    """Return a numeric column as float64, NaN where it is null.

    Raises
    ------
    SchemaError
        There is no such column, or it is not numeric.

    Examples
    --------
    >>> numbers(pa.table({"n": [1, None]}), "n").tolist()
    [1.0, nan]
    """
    column = column_of(table, name)
    if name not in numeric_columns(table.schema):
        raise SchemaError(
            f"Column {name!r} is {column.type}, not a number",
            hint=f"Numeric columns: {some(numeric_columns(table.schema), 12)}.",
        )
    return _floats(column)


def _floats(column: pa.ChunkedArray) -> Floats:
    values = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(values, np.float64)


def _bools(column: pa.ChunkedArray) -> Mask:
    return np.asarray(pc.fill_null(column, False).to_numpy(zero_copy_only=False), np.bool_)


def count_line(sample: Sample, mask: Mask) -> str:
    """Say what is sampled and how much of it matches.

    Examples
    --------
    >>> sample = Sample(pa.table({"sequence": ["A", "C"]}), 20_000, 7, "demo")
    >>> count_line(sample, np.array([True, False]))
    '2 of 20,000 rows, seed 7; 1 match (50.0 %)'
    """
    hits = int(mask.sum())
    share = f" ({100 * hits / sample.rows:.1f} %)" if sample.rows else ""
    drawn = (
        f"All {sample.total:,} rows"
        if sample.is_whole
        else f"{sample.rows:,} of {sample.total:,} rows, seed {sample.seed}"
    )
    return f"{drawn}; {hits:,} match{share}"
