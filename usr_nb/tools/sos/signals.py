"""Simulated measurements of the SOS library. Every number here is made up by a formula.

Effects that a paper gives are taken from it (spacer series of *tac*, PMID 3882710; letter
shares, PMC106926); the others are chosen so that, as in PMC6389444, the hexamers alone
explain about 74 % of the variance of log expression.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.tools.sos import design

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

STRONGEST: Final = 4.0
"""log2 RNA/DNA of the consensus promoter without UP element."""
BITS_TO_LOG2: Final = (0.385, 0.55)
"""log2 activity per bit of mismatch of the -35 and of the -10 hexamer."""
SPACER_LOG2: Final[Mapping[int, float]] = MappingProxyType(
    {15: -3.5, 16: -2.5, 17: 0.0, 18: -1.3, 19: -2.6}
)
"""16 to 18 as measured in *tac* (PMID 3882710); 15 and 19 go on at that slope."""
UP_LOG2: Final[Mapping[str, float]] = MappingProxyType({"none": 0.0, "partial": 0.5, "full": 1.0})
EXT10_LOG2: Final = 0.7
LEXA_LOG2: Final[Mapping[str, float]] = MappingProxyType(
    {"": 0.0, **dict(zip(design.LEXA_BOXES, (-2.2, -1.6, -1.3), strict=True))}
)
MITOMYCIN_LEFT: Final = 0.1
"""Share of the repression that is left when mitomycin has cleaved LexA."""
BACKWARD_LOG2: Final = -8.0
"""What is measured from a promoter that points the other way."""
DESIGN_NOISE: Final = 0.45
BACKGROUND_NOISE: Final = 0.25
REPLICATE_NOISE: Final = 1.2
"""Standard deviation of one barcode; a replicate divides it by the root of its barcodes."""

MIN_BARCODES: Final = 5
SHIFT_ASSAY: Final = 0.9
SHIFT_EVO2: Final = -0.2

EVO2_MEAN: Final = -1.4
EVO2_MISSING: Final = 0.02
EVO2_PARTS: Final = 20
EVO2_RESCORED: Final = 500
EMBED_SIZE: Final = 16

# One stream per signal, so that a change of one leaves the others as they were.
_ACTIVITY, _ASSAY, _EVO2, _EMBED = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Assay:
    """Simulated log2 RNA/DNA of three replicates and the barcodes behind them.

    ``replicates`` is rows by 3, NaN where fewer than five barcodes were seen.
    """

    replicates: Floats
    barcodes: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Evo2:
    """Simulated scores (nats per nt): first run with gaps, and a second look at some rows.

    ``first`` is NaN where the run missed a row; ``rescored`` are row numbers, ascending, and
    ``second`` their later scores.
    """

    first: Floats
    rescored: npt.NDArray[np.int64]
    second: Floats


def _stream(seed: int, which: int) -> np.random.Generator:
    return np.random.default_rng([seed, which])


def _look_up(column: pa.ChunkedArray, table: Mapping[Any, float]) -> Floats:
    return np.array([table[cell] for cell in column.to_pylist()], dtype=np.float64)


def _matches(library: pa.Table) -> tuple[Floats, Floats]:
    minus35 = {h: design.hexamer_match(h, element="minus35") for h in design.MINUS35}
    minus10 = {h: design.hexamer_match(h, element="minus10") for h in design.MINUS10}
    return _look_up(library["minus35"], minus35), _look_up(library["minus10"], minus10)


def _is(library: pa.Table, column: str, value: str) -> Bools:
    cells = library[column].to_pylist()
    return np.array([cell == value for cell in cells], dtype=np.bool_)


def _group_effect(library: pa.Table, column: str, rng: np.random.Generator) -> Floats:
    """One normal draw per distinct value, in the order of the values' text."""
    names, index = np.unique(np.array(library[column].to_pylist()), return_inverse=True)
    effect: Floats = rng.standard_normal(len(names))[index]
    return effect


def activity(library: pa.Table, seed: int = 7, *, mitomycin: bool = False) -> Floats:
    """Simulate the log2 activity of each design, before any measurement.

    Hexamer match, spacer, UP element and extended -10 add up; LexA takes away, nearly
    nothing under mitomycin; noise of background and design is added, the same in both
    conditions. CpxR has no effect.

    Parameters
    ----------
    library : pyarrow.Table
        Columns of ``LIBRARY_SCHEMA``.
    seed : int
        Same seed, same noise.
    mitomycin : bool
        Whether DNA damage has lifted the LexA repression.

    Returns
    -------
    numpy.ndarray
        float64, one per row (log2 RNA/DNA). Nothing is written to disk.

    Examples
    --------
    >>> from usr_nb.tools.sos import design_library
    >>> library = design_library(rows=500)
    >>> gain = activity(library, mitomycin=True) - activity(library)
    >>> bool((gain[_is(library, "tf", "lexa")] > 1).all())
    True
    """
    rng = _stream(seed, _ACTIVITY)
    minus35, minus10 = _matches(library)
    repression = _look_up(library["lexa_box"], LEXA_LOG2)
    mean = (
        STRONGEST
        + BITS_TO_LOG2[0] * minus35
        + BITS_TO_LOG2[1] * minus10
        + _look_up(library["spacer"], SPACER_LOG2)
        + _look_up(library["up"], UP_LOG2)
        + _look_up(library["ext10"], {True: EXT10_LOG2, False: 0.0})
        + repression * (MITOMYCIN_LEFT if mitomycin else 1.0)
    )
    mean = np.where(_is(library, "strand", "rev"), BACKWARD_LOG2, mean)
    background = BACKGROUND_NOISE * _group_effect(library, "background", rng)
    noise: Floats = DESIGN_NOISE * rng.standard_normal(library.num_rows)
    return mean + background + noise


def assay(library: pa.Table, seed: int = 7, *, mitomycin: bool = False) -> Assay:
    """Simulate a barcoded reporter assay of three replicates.

    Parameters
    ----------
    library : pyarrow.Table
        Columns of ``LIBRARY_SCHEMA``.
    seed : int
        Same seed, same barcodes and noise; the two conditions are separate experiments.
    mitomycin : bool
        Which condition.

    Returns
    -------
    Assay
        The shifted batch reads ``SHIFT_ASSAY`` too high. Nothing is written to disk.

    Examples
    --------
    >>> from usr_nb.tools.sos import design_library
    >>> result = assay(design_library(rows=500))
    >>> bool((np.isnan(result.replicates[:, 0]) == (result.barcodes < 5)).all())
    True
    """
    rng = np.random.default_rng([seed, _ASSAY, int(mitomycin)])
    rows = library.num_rows
    barcodes = np.floor(np.exp(3.1 + 0.9 * rng.standard_normal(rows))).astype(np.int32)
    spread = REPLICATE_NOISE / np.sqrt(np.maximum(barcodes, 1))
    shift = SHIFT_ASSAY * _is(library, "batch", design.SHIFTED_BATCH)
    true = activity(library, seed, mitomycin=mitomycin) + shift
    replicates = true[:, None] + spread[:, None] * rng.standard_normal((rows, 3))
    replicates[barcodes < MIN_BARCODES] = np.nan
    return Assay(replicates, barcodes)


def evo2(library: pa.Table, seed: int = 7) -> Evo2:
    """Simulate the mean log probability that a DNA language model gives each design.

    Parameters
    ----------
    library : pyarrow.Table
        Columns of ``LIBRARY_SCHEMA``.
    seed : int
        Same seed, same scores, gaps and re-scored rows.

    Returns
    -------
    Evo2
        About -1.4 with a standard deviation of 0.1 nats per nt. 2 % of the rows have no
        score; 500 (at most a quarter) of the others get a second one that differs by 0.2 or
        more. The shifted batch is ``SHIFT_EVO2`` off. Nothing is written to disk.

    Examples
    --------
    >>> from usr_nb.tools.sos import design_library
    >>> scores = evo2(design_library(rows=500))
    >>> int(np.isnan(scores.first).sum()), len(scores.rescored)
    (10, 125)
    """
    rng = _stream(seed, _EVO2)
    rows = library.num_rows
    minus35, minus10 = _matches(library)
    match = minus35 + minus10
    first = EVO2_MEAN + 0.03 * (match - match.mean()) / match.std()
    first += 0.03 * _group_effect(library, "background", rng)
    first += 0.07 * rng.standard_normal(rows)
    first += SHIFT_EVO2 * _is(library, "batch", design.SHIFTED_BATCH)
    order = rng.permutation(rows)
    gaps = round(EVO2_MISSING * rows)
    rescored = np.sort(order[gaps : gaps + min(EVO2_RESCORED, rows // 4)])
    first[order[:gaps]] = np.nan
    change = 0.2 + 0.3 * rng.random(len(rescored))
    sign = np.where(rng.random(len(rescored)) < 0.5, -1.0, 1.0)
    return Evo2(first, rescored, first[rescored] + sign * change)


def embed(library: pa.Table, seed: int = 7) -> npt.NDArray[np.float32]:
    """Simulate an embedding: the factors, mixed at random into 16 numbers, with noise.

    Parameters
    ----------
    library : pyarrow.Table
        Columns of ``LIBRARY_SCHEMA``.
    seed : int
        Same seed, same mixture.

    Returns
    -------
    numpy.ndarray
        float32, rows by 16; near designs share hexamers, TF and GC class. Nothing is
        written to disk.

    Examples
    --------
    >>> from usr_nb.tools.sos import design_library
    >>> embed(design_library(rows=500)).shape
    (500, 16)
    """
    rng = _stream(seed, _EMBED)
    mixed = 0.3 * rng.standard_normal((library.num_rows, EMBED_SIZE))
    for column, weight in {"minus35": 1.0, "minus10": 0.7, "tf": 1.2, "gc_class": 0.8}.items():
        names, index = np.unique(np.array(library[column].to_pylist()), return_inverse=True)
        mixed += weight * rng.standard_normal((len(names), EMBED_SIZE))[index]
    return mixed.astype(np.float32)


def hexamer_r2(library: pa.Table, values: Floats) -> float:
    """Fit values by the -35 and -10 hexamers alone: linear, one coefficient per hexamer.

    Parameters
    ----------
    library : pyarrow.Table
        Columns of ``LIBRARY_SCHEMA``.
    values : numpy.ndarray
        float64, one per row; rows with NaN are left out.

    Returns
    -------
    float
        Explained share of the variance, 0 to 1.

    Examples
    --------
    >>> from usr_nb.tools.sos import design_library
    >>> library = design_library(rows=2000)
    >>> 0.6 < hexamer_r2(library, activity(library)) < 0.9
    True
    """
    blocks = [np.ones((library.num_rows, 1))]
    for column in ("minus35", "minus10"):
        cells = np.array(library[column].to_pylist())
        blocks.append((cells[:, None] == np.unique(cells)[None, 1:]).astype(np.float64))
    kept = ~np.isnan(values)
    x, y = np.hstack(blocks)[kept], values[kept]
    coefficients = np.linalg.lstsq(x, y, rcond=None)[0]
    return float(1.0 - np.var(y - x @ coefficients) / np.var(y))
