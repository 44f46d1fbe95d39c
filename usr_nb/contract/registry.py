"""The namespace registry as a value: columns, hashes, evolution (contract REG)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import pyarrow as pa
import yaml

from usr_nb.contract.essentials import ESSENTIALS
from usr_nb.contract.names import STATE_NS, TOMBSTONE_NS, check_column, check_namespace, qualify
from usr_nb.contract.records import STATE_SCHEMA
from usr_nb.contract.types import parse_type, split_top_level, type_text
from usr_nb.errors import NamespaceError, SchemaError, did_you_mean, join_hints


@dataclass(frozen=True)
class Column:
    """One registered column: its full name and its type as text."""

    name: str
    type: str

    @cached_property
    def arrow_type(self) -> pa.DataType:
        """The type as Arrow knows it."""
        return parse_type(self.type)


@dataclass(frozen=True)
class NamespaceEntry:
    """One namespace: who answers for it, what it is, which columns it has, in order."""

    owner: str | None
    description: str | None
    columns: tuple[Column, ...]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Full names of the columns in registry order."""
        return tuple(c.name for c in self.columns)

    def column(self, name: str) -> Column | None:
        """Return the column of that full name, or None."""
        return next((c for c in self.columns if c.name == name), None)

    def as_plain(self) -> dict[str, Any]:
        """Return the entry as it stands in ``registry.yaml``."""
        return {
            "owner": self.owner,
            "description": self.description,
            "columns": [{"name": c.name, "type": c.type} for c in self.columns],
        }


STATE_ENTRY: Final = NamespaceEntry(
    owner="usr",
    description="Reserved record state (masked, qc_status, split, supersedes, lineage)",
    columns=tuple(Column(f.name, type_text(f.type)) for f in STATE_SCHEMA if f.name != "id"),
)


@dataclass(frozen=True)
class Registry(Mapping[str, NamespaceEntry]):
    """All namespaces of one root. A mapping from namespace to :class:`NamespaceEntry`."""

    entries: dict[str, NamespaceEntry] = field(default_factory=dict)

    def __getitem__(self, namespace: str) -> NamespaceEntry:
        return self.entries[namespace]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __hash__(self) -> int:
        return hash(self.hash)

    def as_plain(self) -> dict[str, Any]:
        """Return ``{"namespaces": {...}}``, the content of ``registry.yaml``."""
        return {"namespaces": {ns: entry.as_plain() for ns, entry in self.entries.items()}}

    def as_yaml(self) -> str:
        """Return the canonical YAML text, keys sorted; its SHA-256 is the registry hash."""
        return self._yaml

    @cached_property
    def _yaml(self) -> str:
        return str(yaml.safe_dump(self.as_plain(), sort_keys=True))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of :meth:`as_yaml` in UTF-8 (REG-3), 64 hexadecimal digits."""
        return hashlib.sha256(self.as_yaml().encode()).hexdigest()

    def contract_hash(self, namespace: str) -> str:
        """Return the hash of one namespace's columns (REG-9)."""
        entry = self.entry(namespace)
        return contract_hash(namespace, entry.columns)

    def accepts_contract(self, namespace: str, hashed: str) -> bool:
        """Say whether a file written under contract `hashed` is still valid.

        Columns are only ever appended to a namespace that data uses (REG-6), so the hash of any
        leading run of today's columns is that of an earlier, compatible contract.
        """
        entry = self.get(namespace)
        if entry is None:
            return False
        n = len(entry.columns)
        return any(contract_hash(namespace, entry.columns[:k]) == hashed for k in range(n, 0, -1))

    def entry(self, namespace: str) -> NamespaceEntry:
        """Return a namespace's entry.

        Raises
        ------
        NamespaceError
            If it is not registered; the hint gives the closest name and the command to register.
        """
        found = self.get(namespace)
        if found is None:
            raise NamespaceError(
                f"Namespace '{namespace}' is not registered",
                hint=join_hints(
                    did_you_mean(namespace, self),
                    f"Register it: usr namespace register {namespace} "
                    f"--columns {namespace}__<field>:<type>; or attach with --register.",
                ),
            )
        return found

    def column(self, namespace: str, name: str) -> Column:
        """Return a registered column by its full name, or raise with the closest name."""
        entry = self.entry(namespace)
        found = entry.column(name)
        if found is None:
            raise NamespaceError(
                f"Column '{name}' is not registered in namespace '{namespace}'",
                hint=join_hints(
                    did_you_mean(name, entry.column_names),
                    f"Registered are {', '.join(entry.column_names)}. Add it: usr namespace "
                    f"register {namespace} --columns ...,{name}:<type> --overwrite; or attach "
                    "with --register.",
                ),
            )
        return found

    def with_entry(self, namespace: str, entry: NamespaceEntry) -> Registry:
        """Return a registry with one entry added or replaced, and ``usr_state`` always there."""
        entries = {STATE_NS: STATE_ENTRY, **self.entries, namespace: entry}
        return Registry(dict(sorted(entries.items())))


def contract_hash(namespace: str, columns: Sequence[Column]) -> str:
    """Return SHA-256 over ``[namespace, [[name, type], ...]]`` as compact JSON (REG-9)."""
    pairs = [[c.name, type_text(c.arrow_type)] for c in columns]
    text = json.dumps([namespace, pairs], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def parse_columns_spec(spec: str, namespace: str) -> tuple[Column, ...]:
    """Read ``a__x:float64,a__y:list<float32>``; prefixes may be left out.

    Raises
    ------
    NamespaceError, SchemaError
        If a column is malformed, foreign, essential or named twice, or a type is unknown.

    Examples
    --------
    >>> parse_columns_spec("x:float64, m__y:struct<a:int8,b:string>", namespace="m")[1].type
    'struct<a:int8,b:string>'
    """
    check_namespace(namespace, reserved_ok=True)
    columns = []
    for part in split_top_level(spec):
        name, sep, text = part.partition(":")
        if not sep or not name.strip() or not text.strip():
            raise SchemaError(
                f"Column specification {part[:60]!r} is not name:type",
                hint=f"Write --columns {namespace}__score:float64,{namespace}__vec:list<float64>",
            )
        full = qualify(namespace, name.strip(), essentials=ESSENTIALS)
        columns.append(Column(full, type_text(parse_type(text))))
    return check_columns(namespace, columns)


def check_columns(namespace: str, columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns of a namespace if their names are right and unique (REG-4)."""
    if not columns:
        raise SchemaError(f"Namespace '{namespace}' has no columns", hint="Give at least one.")
    seen: set[str] = set()
    for c in columns:
        check_column(namespace, c.name)
        if c.name in seen:
            raise SchemaError(f"Column '{c.name}' is named twice in namespace '{namespace}'")
        seen.add(c.name)
    return tuple(columns)


def parse_registry(plain: object, *, where: str) -> Registry:
    """Read the content of a registry file (REG-2); every mistake names its place.

    Raises
    ------
    NamespaceError, SchemaError
        If the form is wrong, or ``usr_state`` is missing or was modified.
    """
    hint = "Form: namespaces: {<ns>: {owner, description, columns: [{name, type}]}}"
    spaces = plain.get("namespaces") if isinstance(plain, dict) else None
    if not isinstance(spaces, dict):
        raise SchemaError(f"{where}: no mapping 'namespaces'", hint=hint)
    entries: dict[str, NamespaceEntry] = {}
    for ns, body in spaces.items():
        check_namespace(ns, reserved_ok=True)
        if ns == TOMBSTONE_NS:
            raise NamespaceError(f"{where}: namespace 'usr' is reserved and cannot be registered")
        columns = body.get("columns") if isinstance(body, dict) else None
        if not isinstance(columns, list):
            raise SchemaError(f"{where}: namespace '{ns}' has no list 'columns'", hint=hint)
        parsed = []
        for c in columns:
            ok = isinstance(c, dict) and isinstance(c.get("name"), str)
            if not ok or not isinstance(c.get("type"), str):
                raise SchemaError(f"{where}: namespace '{ns}': column {str(c)[:60]!r}", hint=hint)
            try:
                parse_type(c["type"])
            except SchemaError as error:
                raise SchemaError(
                    f"{where}: {c['name']}: {error.message}", hint=error.hint
                ) from None
            parsed.append(Column(c["name"], c["type"]))
        texts = {k: body.get(k) for k in ("owner", "description")}
        if any(v is not None and not isinstance(v, str) for v in texts.values()):
            raise SchemaError(
                f"{where}: namespace '{ns}': owner and description are text", hint=hint
            )
        entries[ns] = NamespaceEntry(columns=check_columns(ns, parsed), **texts)
    check_state_entry(entries.get(STATE_NS), where=where)
    return Registry(entries)


def check_state_entry(entry: NamespaceEntry | None, *, where: str) -> None:
    """Raise unless ``usr_state`` is there with exactly its columns (REG-2)."""
    wanted = {c.name: c.type for c in STATE_ENTRY.columns}
    if entry is None or {c.name: type_text(c.arrow_type) for c in entry.columns} != wanted:
        state = "is missing" if entry is None else "was modified"
        listed = ", ".join(f"{n}:{t}" for n, t in wanted.items())
        raise NamespaceError(
            f"{where}: reserved namespace 'usr_state' {state}", hint=f"It must hold {listed}."
        )


@dataclass(frozen=True)
class Evolution:
    """How a namespace changes: full names of the columns added, removed and retyped."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    retyped: tuple[str, ...]

    @property
    def breaking(self) -> tuple[str, ...]:
        """Columns whose values, if there are any, would no longer be readable (REG-6)."""
        return self.removed + self.retyped


def evolution(old: NamespaceEntry, new: NamespaceEntry) -> Evolution:
    """Compare two definitions of one namespace."""
    before = {c.name: type_text(c.arrow_type) for c in old.columns}
    after = {c.name: type_text(c.arrow_type) for c in new.columns}
    return Evolution(
        added=tuple(n for n in after if n not in before),
        removed=tuple(n for n in before if n not in after),
        retyped=tuple(n for n in after if n in before and after[n] != before[n]),
    )
