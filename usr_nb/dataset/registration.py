"""Registering namespaces at a root, safely for the data below it (contract REG-4..7)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from usr_nb.contract.names import STATE_NS, check_namespace
from usr_nb.contract.registry import (
    STATE_ENTRY,
    Column,
    NamespaceEntry,
    Registry,
    check_columns,
    evolution,
    parse_columns_spec,
)
from usr_nb.errors import AlreadyExists, NamespaceError, SchemaError, some
from usr_nb.overlay.parts import parts_of
from usr_nb.storage import registryfile
from usr_nb.storage.layout import Layout, real_path
from usr_nb.storage.parquet import open_parquet
from usr_nb.storage.roots import dataset_names
from usr_nb.storage.view import open_view

ColumnsSpec = str | Sequence[Column] | Sequence[tuple[str, str]]


def init_root(root: str | os.PathLike[str]) -> Registry:
    """Create a registry that holds the reserved ``usr_state`` namespace; an existing one stays.

    Parameters
    ----------
    root : path
        The root folder; created if it is not there. ``registry.yaml`` is written into it.
    """
    path = real_path(root)
    return registryfile.update(path, _with_state, action="root_init")


def _with_state(before: Registry) -> Registry:
    return before if STATE_NS in before else before.with_entry(STATE_NS, STATE_ENTRY)


def register_namespace(
    root: str | os.PathLike[str],
    *,
    namespace: str,
    columns: ColumnsSpec,
    owner: str | None = None,
    description: str | None = None,
    overwrite: bool = False,
) -> NamespaceEntry:
    """Register a namespace and its columns in ``registry.yaml``.

    The first registration at a root creates the file and adds the reserved ``usr_state``
    namespace. Registrations of several processes never lose one another (REG-7).

    Parameters
    ----------
    root : path
        The root folder.
    namespace : str
        Lower-case letters, digits and single ``_``.
    columns : str or sequence of Column or of (name, type)
        ``"a__x:float64,a__v:list<float32>"``; the prefix may be left out.
    owner, description : str, optional
        Who answers for the namespace, and what its values are.
    overwrite : bool
        Replace an existing definition. Columns that data uses can be neither removed nor retyped.

    Returns
    -------
    NamespaceEntry

    Raises
    ------
    AlreadyExists
        If it is registered with other columns and not `overwrite`.
    NamespaceError, SchemaError
        If a name or type is not allowed, or data uses a column that would change; the error lists
        the datasets.

    Examples
    --------
    >>> import tempfile
    >>> entry = register_namespace(tempfile.mkdtemp(), namespace="m", columns="score:float64")
    >>> entry.column_names
    ('m__score',)
    """
    check_namespace(namespace)
    parsed = _parse(namespace, columns)
    entry = NamespaceEntry(owner=owner, description=description, columns=parsed)
    path = real_path(root)

    def change(before: Registry) -> Registry:
        old = before.get(namespace)
        if old is not None:
            if old == entry:
                return before
            if not overwrite:
                raise AlreadyExists(
                    f"Namespace '{namespace}' is registered with {', '.join(old.column_names)}",
                    hint="Change it with --overwrite, or choose another name.",
                )
            _check_evolution(path, namespace, old, entry)
        return before.with_entry(namespace, entry)

    return registryfile.update(path, change, action="register")[namespace]


def with_columns(
    registry: Registry,
    namespace: str,
    columns: Sequence[Column],
    *,
    owner: str | None = None,
    description: str | None = None,
) -> Registry:
    """Return a registry in which a namespace also has these columns; those it has stay.

    `owner` and `description` are those of a namespace that is new.
    """
    old = registry.get(check_namespace(namespace))
    there = old.columns if old is not None else ()
    known = {c.name for c in there}
    added = tuple(c for c in columns if c.name not in known)
    entry = NamespaceEntry(
        old.owner if old is not None else owner,
        old.description if old is not None else description,
        check_columns(namespace, (*there, *added)),
    )
    return registry.with_entry(namespace, entry)


def add_columns(
    root: Path,
    namespace: str,
    columns: Sequence[Column],
    *,
    owner: str | None = None,
    description: str | None = None,
) -> Registry:
    """Register more columns of a namespace, which may be new; see :func:`with_columns`."""
    return registryfile.update(
        root,
        lambda before: with_columns(
            before, namespace, columns, owner=owner, description=description
        ),
        action="register",
    )


def _parse(namespace: str, columns: ColumnsSpec) -> tuple[Column, ...]:
    if isinstance(columns, str):
        return parse_columns_spec(columns, namespace)
    texts = []
    for c in columns:
        if isinstance(c, Column):
            texts.append(f"{c.name}:{c.type}")
        elif len(c) == 2 and all(isinstance(x, str) for x in c):
            texts.append(f"{c[0]}:{c[1]}")
        else:
            raise SchemaError(f"Column {c!r} is not (name, type)")
    if not texts:
        return check_columns(namespace, ())
    return parse_columns_spec(",".join(texts), namespace)


def _check_evolution(root: Path, namespace: str, old: NamespaceEntry, new: NamespaceEntry) -> None:
    breaking = evolution(old, new).breaking
    if not breaking:
        return
    users = {
        name: used
        for name in dataset_names(root)
        if (used := columns_in_use(root / name, namespace) & set(breaking))
    }
    if users:
        listed = some((f"{name} ({', '.join(sorted(cs))})" for name, cs in users.items()), 10)
        raise NamespaceError(
            f"Columns {', '.join(breaking)} of '{namespace}' are used by data: {listed}",
            hint="Columns can be added. To change a type, register a column of another name.",
        )


def columns_in_use(folder: Path, namespace: str) -> set[str]:
    """Return the columns of a namespace that a dataset's overlays or base hold."""
    layout = Layout(folder)
    try:
        with open_view(layout) as view:
            held = {c for p in parts_of(view, namespace) for c in p.columns}
            return held | _prefixed(view.base.schema_arrow.names, namespace)
    except SchemaError:
        # A damaged part may hold any of them; its raw columns are the best there is.
        found: set[str] = set()
        for path in (layout.derived / namespace).glob("part-*.parquet"):
            with open_parquet(path) as file:
                found |= _prefixed(file.schema_arrow.names, namespace)
        return found


def _prefixed(names: Iterable[str], namespace: str) -> set[str]:
    return {n for n in names if n.startswith(f"{namespace}__")}
