"""What people need to know of columns: read and set at a root (``columns.yaml``)."""

from __future__ import annotations

import os
from collections.abc import Mapping

from usr_nb.contract.columns import Better, ColumnInfo, Columns, changed, check_name
from usr_nb.storage import columnsfile
from usr_nb.storage.layout import real_path

PathLike = str | os.PathLike[str]


def load_columns(root: PathLike) -> Mapping[str, ColumnInfo]:
    """Return what is known of columns at a root: column → :class:`ColumnInfo`, A-Z.

    Raises
    ------
    SchemaError, NamespaceError, ValidationError
        If ``columns.yaml`` is malformed; the message names the place.

    Examples
    --------
    >>> import tempfile
    >>> load_columns(tempfile.mkdtemp())
    {}
    """
    return columnsfile.load(real_path(root))


def set_column(
    root: PathLike,
    name: str,
    *,
    unit: str | None = None,
    label: str | None = None,
    better: Better | None = None,
    format: str | None = None,
    model: str | None = None,
    reduction: str | None = None,
) -> ColumnInfo:
    """Say what people need to know of a column; writes ``columns.yaml`` at the root.

    Neither the registry nor any dataset changes. Several processes never lose one another's words.

    Parameters
    ----------
    root : path
        The root folder; it must have a registry.
    name : str
        An essential column, or ``<namespace>__<field>``; it need not be registered yet.
    unit, label, better, format, model, reduction : str, optional
        See :class:`ColumnInfo`. What is not given stays as it is; ``""`` forgets it.

    Returns
    -------
    ColumnInfo
        All that is known of it now.

    Raises
    ------
    NamespaceError
        If the root has no registry, or the name is not allowed.
    SchemaError, ValidationError
        If it is no column of a namespace, or a value is not allowed.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> set_column(root, "evo2__llr", unit="nats", label="Evo2 LLR", format=".3f").title("x")
    'Evo2 LLR (nats)'
    """
    check_name(name)
    given = {"unit": unit, "label": label, "better": better, "format": format, "model": model,
             "reduction": reduction}  # fmt: skip
    values = {k: v for k, v in given.items() if v is not None}

    def change(before: Columns) -> Columns:
        info = changed(before.get(name, ColumnInfo()), values, where=name)
        after = {**before, name: info}
        return {n: i for n, i in after.items() if i != ColumnInfo()}

    return columnsfile.update(real_path(root), change).get(name, ColumnInfo())
