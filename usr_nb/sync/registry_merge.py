"""The registry of the sender's root, as far as the dataset uses it, in the receiver's (SYN-6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from usr_nb.contract.names import TOMBSTONE_NS, namespace_of
from usr_nb.contract.registry import NamespaceEntry, Registry, parse_registry
from usr_nb.contract.types import type_text
from usr_nb.storage.layout import REGISTRY_FILE
from usr_nb.storage.registryfile import load_yaml
from usr_nb.storage.view import namespace_of_path


@dataclass(frozen=True)
class RegistryOutcome:
    """What becomes of the receiver's registry.

    Attributes
    ----------
    entries : mapping of str to mapping
        Namespaces to add or to extend, as they are to stand in ``registry.yaml``.
    conflicts : mapping of str to str
        Namespace to what differs.
    remarks : tuple of str
        Differences that do not matter, and namespaces that the sender has not registered.
    """

    entries: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def read_registry(data: bytes | None, *, where: str) -> Registry:
    """Return the registry in the text of a ``registry.yaml``; an empty one if there is no file.

    Raises
    ------
    SchemaError, NamespaceError
        If it is malformed.
    """
    if data is None:
        return Registry()
    place = f"{where}: {REGISTRY_FILE}"
    return parse_registry(load_yaml(data, where=place), where=place)


def used_namespaces(paths: Iterable[str], base_columns: Iterable[str]) -> frozenset[str]:
    """Return the namespaces that overlay files and columns of the base belong to.

    Examples
    --------
    >>> sorted(used_namespaces(["_derived/a/part-1.parquet", "meta.md"], ["id", "b__x"]))
    ['a', 'b']
    """
    found = {namespace_of_path(p) for p in paths} | {namespace_of(c) for c in base_columns}
    return frozenset(ns for ns in found if ns is not None and ns != TOMBSTONE_NS)


def merge_registry(sender: Registry, receiver: Registry, used: Iterable[str]) -> RegistryOutcome:
    """Say which namespaces the receiver needs.

    Of two definitions of a namespace of which one begins with all columns of the other, the
    longer one counts: columns are only ever appended. Owner and description stay the receiver's.

    Parameters
    ----------
    sender, receiver : Registry
        The two registries.
    used : iterable of str
        The namespaces that the sender's dataset uses.
    """
    entries: dict[str, Mapping[str, object]] = {}
    conflicts: dict[str, str] = {}
    remarks: list[str] = []
    for ns in sorted(set(used)):
        theirs, ours = sender.get(ns), receiver.get(ns)
        if theirs is None:
            if ours is None:
                remarks.append(f"namespace '{ns}' is registered on neither side")
            continue
        if ours is None:
            entries[ns] = theirs.as_plain()
            continue
        a, b = _columns(theirs), _columns(ours)
        if a[: len(b)] != b and b[: len(a)] != a:
            conflicts[ns] = _difference(a, b)
        elif len(a) > len(b):
            longer = NamespaceEntry(ours.owner, ours.description, theirs.columns)
            entries[ns] = longer.as_plain()
        elif (theirs.owner, theirs.description) != (ours.owner, ours.description):
            remarks.append(f"namespace '{ns}': owner or description differ; the receiver's stay")
    return RegistryOutcome(entries, conflicts, tuple(remarks))


def _columns(entry: NamespaceEntry) -> list[tuple[str, str]]:
    return [(c.name, type_text(c.arrow_type)) for c in entry.columns]


def _difference(sender: list[tuple[str, str]], receiver: list[tuple[str, str]]) -> str:
    theirs, ours = dict(sender), dict(receiver)
    for name, kind in sender:
        if name in ours and ours[name] != kind:
            return f"column '{name}' is {kind} at the sender, {ours[name]} at the receiver"
    only = [n for n in theirs if n not in ours], [n for n in ours if n not in theirs]
    if only[0] and only[1]:
        return f"'{only[0][0]}' is only at the sender, '{only[1][0]}' only at the receiver"
    return "the columns stand in another order"
