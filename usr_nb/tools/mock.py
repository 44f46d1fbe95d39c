"""Made-up datasets and columns, to try things out (contract MNT-4)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.contract.registry import Registry
from usr_nb.dataset.context import Change, change
from usr_nb.dataset.core import Dataset
from usr_nb.errors import ValidationError
from usr_nb.overlay.attach import held_columns, refuse_overwrite
from usr_nb.readers import open_rows
from usr_nb.tools.writing import (
    Creation,
    cast_overlays,
    check_cells,
    check_rows,
    context_of,
    create,
    new_context,
    positive,
    stage_rows,
)

X: Final = "x_representation"
Y: Final = "label_vec8"
_BLOCK: Final = 16_384
_ALL_WORDS_UP_TO: Final = 10
_SEQUENCES, _X, _Y = range(3)

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class MockReport:
    """What was made up.

    Attributes
    ----------
    dataset : str
        Its id.
    rows : int
        Rows that have the two columns now.
    duplicates : int
        Rows of the given file whose sequence stood there before.
    columns : tuple of str
        The two columns, of ``x_dim`` and ``y_dim`` numbers per row.
    archived : str or None
        Where an earlier dataset of that id lies now, relative to the root.

    Examples
    --------
    >>> MockReport("demo/mock", 2).archived is None
    True
    """

    dataset: str
    rows: int
    duplicates: int = 0
    columns: tuple[str, ...] = ()
    archived: str | None = None


def make_mock(
    root: PathLike,
    dataset: str,
    *,
    n: int = 100,
    length: int = 60,
    x_dim: int = 512,
    y_dim: int = 8,
    seed: int = 7,
    namespace: str = "demo",
    from_csv: PathLike | None = None,
    force: bool = False,
) -> MockReport:
    """Create a dataset of random DNA, or of given sequences, with two made-up overlay columns.

    ``<namespace>__x_representation`` holds float32 ~ Normal(-20, 4), ``<namespace>__label_vec8``
    float32 ~ Uniform[0, 1). Rows and columns are one commit with one event ``make_mock``.

    Parameters
    ----------
    root : path
        The root folder; the namespace and its two columns must be registered there.
    dataset : str
        The id, taken literally.
    n, length : int
        How many different sequences, and their length in bases; of no meaning with `from_csv`.
    x_dim, y_dim : int
        Numbers per row in the two columns.
    seed : int
        Same seed, same sequences and values.
    from_csv : path, optional
        Take all sequences of this file (column ``sequence``; ``bio_type`` and ``alphabet`` if
        there); a sequence that comes again is left out.
    force : bool
        Move an existing dataset to ``_archive/`` first; nothing is deleted.

    Returns
    -------
    MockReport

    Raises
    ------
    NamespaceError
        If the namespace or a column is not registered. Nothing was written.
    AlreadyExists
        If the dataset exists and not `force`.
    ValidationError, AlphabetError, SchemaError
        If an option, or a row of the file, is not allowed. Nothing was written.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, register_namespace
    >>> root = tempfile.mkdtemp()
    >>> spec = "x_representation:list<float32>,label_vec8:list<float32>"
    >>> _ = register_namespace(root, namespace="demo", columns=spec)
    >>> make_mock(root, "demo/mock", n=3, length=20, x_dim=4).rows
    3
    >>> [len(x) for x in Dataset.open(root, "demo/mock").head()["demo__x_representation"]]
    [4, 4, 4]
    """
    positive(n=n, length=length, x_dim=x_dim, y_dim=y_dim)
    check_cells((n if from_csv is None else 1) * (length + x_dim + y_dim))
    check_seed(seed)
    ctx = new_context(root, dataset, force=force)
    registry = ctx.registry()
    _check_registered(registry, namespace)
    if from_csv is None:
        given = open_rows([{"sequence": s} for s in random_sequences(n, length, seed)])
    else:
        given = open_rows(from_csv, fmt="csv")
    rows = check_rows(given, ignore_case=False)
    if rows.base.num_rows == 0:
        raise ValidationError(f"{given.label} has no rows", hint="Nothing was written.")
    check_cells(rows.base.num_rows * (x_dim + y_dim))
    columns = demo_columns(rows.base.num_rows, x_dim=x_dim, y_dim=y_dim, seed=seed, ns=namespace)
    args: dict[str, Any] = {
        "n": n, "length": length, "x_dim": x_dim, "y_dim": y_dim, "seed": seed,
        "namespace": namespace, "from_csv": None if from_csv is None else os.fspath(from_csv),
        "force": force,
    }  # fmt: skip
    made = Creation(
        action="make_mock",
        rows=rows,
        overlays={namespace: columns},
        args=args,
        metrics={"rows": rows.base.num_rows, "rows_skipped": rows.duplicates,
                 "x_dim": x_dim, "y_dim": y_dim},
        command=_command("make-mock", ctx.name, args),
        title=f"made {rows.base.num_rows:,} mock rows",
        source="mock data",
    )  # fmt: skip
    archived = create(ctx, made, force=force)
    return MockReport(ctx.name, rows.base.num_rows, rows.duplicates, tuple(columns), archived)


def add_demo_cols(
    ds: Dataset,
    *,
    x_dim: int = 512,
    y_dim: int = 8,
    seed: int = 7,
    namespace: str = "demo",
    allow_overwrite: bool = False,
) -> MockReport:
    """Give every row of a dataset the two made-up columns of :func:`make_mock`.

    Writes one part and one event ``add_demo_cols``; an empty dataset gets neither.

    Parameters
    ----------
    ds : Dataset
        Tombstoned rows get values too.
    x_dim, y_dim, seed, namespace
        See :func:`make_mock`.
    allow_overwrite : bool
        Needed where the columns have values already; the new values win.

    Returns
    -------
    MockReport

    Raises
    ------
    NamespaceError
        If the namespace or a column is not registered.
    ValidationError
        If there are values and not `allow_overwrite`, or an option is not allowed.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, register_namespace
    >>> root = tempfile.mkdtemp()
    >>> spec = "x_representation:list<float32>,label_vec8:list<float32>"
    >>> _ = register_namespace(root, namespace="demo", columns=spec)
    >>> ds = Dataset.open(root, "demo/mine")
    >>> ds.init()
    >>> _ = ds.import_rows(["ACGT", "GGCC"])
    >>> add_demo_cols(ds, x_dim=4).rows
    2
    """
    positive(x_dim=x_dim, y_dim=y_dim)
    check_seed(seed)
    args = {"x_dim": x_dim, "y_dim": y_dim, "seed": seed, "namespace": namespace,
            "allow_overwrite": allow_overwrite}  # fmt: skip
    ctx = context_of(ds)

    def build(c: Change) -> MockReport:
        _check_registered(c.registry, namespace)
        merged = c.merged()
        names = _names(namespace)
        if merged.base_rows == 0:
            return MockReport(ctx.name, 0, columns=names)
        if not allow_overwrite:
            refuse_overwrite(held_columns(merged, merged.parts(namespace), names), namespace)
        check_cells(merged.base_rows * (x_dim + y_dim))
        columns = demo_columns(merged.base_rows, x_dim=x_dim, y_dim=y_dim, seed=seed, ns=namespace)
        cast = cast_overlays(c.registry, {namespace: columns}, "add_demo_cols")
        stage_rows(c, merged, namespace, np.arange(merged.base_rows), cast[namespace])
        c.record(
            "add_demo_cols",
            metrics={"rows": merged.base_rows, "x_dim": x_dim, "y_dim": y_dim},
            title=f"added made-up columns to {merged.base_rows:,} rows",
            command=_command("add-demo-cols", ctx.name, args),
        )
        return MockReport(ctx.name, merged.base_rows, columns=names)

    return change(ctx, "add_demo_cols", build, args=args)


def random_sequences(n: int, length: int, seed: int) -> list[str]:
    """Return `n` different random DNA sequences.

    Raises
    ------
    ValidationError
        If there are not that many sequences of that length.

    Examples
    --------
    >>> sorted(random_sequences(4, 1, seed=7))
    ['A', 'C', 'G', 'T']
    """
    rng = np.random.default_rng([seed, _SEQUENCES])
    letters = np.frombuffer(b"ACGT", np.uint8)
    if length <= _ALL_WORDS_UP_TO:
        words = 4**length
        if n > words:
            raise ValidationError(
                f"There are only {words:,} DNA sequences of length {length}, not {n:,}",
                hint="Give a larger --length or a smaller --n.",
            )
        chosen = rng.choice(words, n, replace=False)
        digits = (chosen[:, None] // 4 ** np.arange(length)) % 4
        return [letters[row].tobytes().decode() for row in digits]
    found: dict[str, None] = {}
    while len(found) < n:
        rows = letters[rng.integers(0, 4, (n - len(found), length))]
        found.update(dict.fromkeys(row.tobytes().decode() for row in rows))
    return list(found)


def demo_columns(
    rows: int, *, x_dim: int, y_dim: int, seed: int, ns: str
) -> dict[str, pa.ChunkedArray]:
    """Return the two made-up columns, list<float32> with one list per row.

    Examples
    --------
    >>> made = demo_columns(2, x_dim=3, y_dim=1, seed=7, ns="demo")
    >>> [(name, len(cells[0])) for name, cells in made.items()]
    [('demo__x_representation', 3), ('demo__label_vec8', 1)]
    """
    x, y = (np.random.default_rng([seed, part]) for part in (_X, _Y))
    xs, ys = [], []
    for start in range(0, rows, _BLOCK):
        n = min(_BLOCK, rows - start)
        xs.append(_lists(x.normal(-20.0, 4.0, (n, x_dim)).astype(np.float32)))
        # Drawn as float32: a float64 just below 1 would be rounded up to it.
        ys.append(_lists(y.random((n, y_dim), dtype=np.float32)))
    kind = pa.list_(pa.float32())
    name_x, name_y = _names(ns)
    return {name_x: pa.chunked_array(xs, kind), name_y: pa.chunked_array(ys, kind)}


def _lists(values: npt.NDArray[np.float32]) -> pa.ListArray:
    n, dim = values.shape
    offsets = np.arange(0, (n + 1) * dim, dim, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))


def _names(namespace: str) -> tuple[str, str]:
    return f"{namespace}__{X}", f"{namespace}__{Y}"


def _check_registered(registry: Registry, namespace: str) -> None:
    registry.entry(namespace)
    for name in _names(namespace):
        registry.column(namespace, name)


def check_seed(seed: int) -> None:
    """Raise a :class:`ValidationError` unless the seed is a whole number of 0 or more."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValidationError(f"seed is a whole number of 0 or more, not {str(seed)[:40]!r}")


def _command(verb: str, dataset: str, args: dict[str, Any]) -> list[str]:
    words = ["usr", "dev", verb, dataset]
    for name, value in args.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return words
