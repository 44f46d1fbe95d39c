"""How single results look: info, schema, describe, findings, namespaces, events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from usr_nb.cli import render, say
from usr_nb.cli.render import Sheet
from usr_nb.contract.columns import ColumnInfo, Columns
from usr_nb.contract.names import namespace_of
from usr_nb.contract.times import to_text
from usr_nb.contract.types import type_text
from usr_nb.dataset.doctor.report import Checkup, Finding
from usr_nb.dataset.filters import NamedFilter
from usr_nb.dataset.report import ImportReport

_STATS: Final = (
    "column", "namespace", "type", "rows", "non_null", "null_pct", "example", "min", "mean", "max",
    "len_min", "len_mean", "len_max", "distinct", "distinct_exact",
)  # fmt: skip


def info_sheet(found: Mapping[str, Any]) -> Sheet:
    """Return a dataset at a glance, one fact per line."""
    facts: dict[str, Any] = {
        "dataset": found["name"],
        "path": found["path"],
        "rows": f"{found['rows']:,} "
        f"({found['rows_live']:,} live, {found['rows_deleted']:,} deleted)",
        "columns": f"{len(found['columns'])}",
        **_columns_by_namespace(found["columns"]),
        "base size": render.size_text(found["size_bytes"]),
        "updated": render.to_second(found["updated"]),
        "created": render.to_second(found["created_at"]),
        "registry": found["registry_hash"],
    }
    for o in found["overlays"]:
        parts = f"{o['parts']} part{'' if o['parts'] == 1 else 's'}"
        facts[f"overlay {o['namespace']}"] = (
            f"{parts} by {o['key']}, {say.count(o['rows'], 'row')}, "
            f"{render.size_text(o['size_bytes'])}: {say.count(len(o['columns']), 'column')}"
        )
    return Sheet(list(facts), [list(facts.values())], tall=True)


def _columns_by_namespace(names: Sequence[str]) -> dict[str, str]:
    """Return the columns, those of a namespace together and without its name."""
    groups: dict[str | None, list[str]] = {}
    for name in names:
        ns = namespace_of(name)
        groups.setdefault(ns, []).append(name.removeprefix(f"{ns}__"))
    return {f"columns {ns or 'essential'}": ", ".join(fields) for ns, fields in groups.items()}


def facts(found: Mapping[str, Any]) -> Sheet:
    """Return a dict as one fact per line."""
    values = [_fact(v) for v in found.values()]
    return Sheet([k.replace("_", " ") for k in found], [values], tall=True)


def report_sheet(found: ImportReport) -> Sheet:
    """Return what an import would do, one fact per line; of what is kept only if something is."""
    plain = asdict(found)
    kept = plain.pop("kept_columns")
    proposed = plain.pop("proposed")
    if kept:
        plain["kept_columns"] = [f"{source} → {column}" for source, column in kept.items()]
    if proposed:
        namespace = namespace_of(proposed)
        plain["to_keep_types"] = (
            f"register first: usr namespace register {namespace} --columns '{proposed}'"
        )
    return facts(plain)


def _fact(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict_text(value)
    if isinstance(value, list):
        return "; ".join(dict_text(v) if isinstance(v, Mapping) else str(v) for v in value) or None
    return value


def dict_text(counts: Mapping[str, Any]) -> str:
    """Return counts on one line."""
    return ", ".join(f"{k} {render.cell(v)}" for k, v in counts.items()) or "none"


def schema_fields(schema: pa.Schema, infos: Columns | None = None) -> list[dict[str, Any]]:
    """Return ``[{name, type, nullable}]``, the shape of GET-1, and what is known of columns."""
    infos = infos or {}
    return [
        {"name": f.name, "type": type_text(f.type), "nullable": f.nullable,
         **(infos[f.name].as_plain() if f.name in infos else {})}
        for f in schema
    ]  # fmt: skip


def schema_tree(schema: pa.Schema) -> list[str]:
    """Return the columns as a tree: base and namespaces, nested types opened."""
    groups: dict[str, list[pa.Field]] = {}
    for f in schema:
        groups.setdefault(namespace_of(f.name) or "base", []).append(f)
    lines = []
    for name, fields in groups.items():
        lines.append(name)
        lines += _branches([(f.name, f.type) for f in fields])
    return lines


def _branches(items: Sequence[tuple[str, pa.DataType]], indent: str = "") -> Iterator[str]:
    for i, (name, dtype) in enumerate(items):
        last = i == len(items) - 1
        yield f"{indent}{'└── ' if last else '├── '}{name}: {type_text(dtype)}"
        yield from _branches(_children(dtype), indent + ("    " if last else "│   "))


def _children(dtype: pa.DataType) -> list[tuple[str, pa.DataType]]:
    if pa.types.is_struct(dtype):
        return [(dtype.field(i).name, dtype.field(i).type) for i in range(dtype.num_fields)]
    if (pa.types.is_list(dtype) or pa.types.is_fixed_size_list(dtype)) and pa.types.is_nested(
        dtype.value_type
    ):
        return [("item", dtype.value_type)]
    return []


def describe_sheet(
    found: Sequence[Mapping[str, Any]], *, short: bool, infos: Columns | None = None
) -> Sheet:
    """Return the statistics: all of them, or `short` with one column that says the range.

    In the short form numbers stand in the format and with the unit of ``columns.yaml``.
    """
    infos = infos or {}
    if not short:
        return Sheet(_STATS, [[d.get(n) for n in _STATS] for d in found])
    rows = [
        [
            d["column"],
            d["type"],
            f"{d['null_pct']:.3g} %",
            _range(d, infos.get(d["column"])),
            d["example"],
        ]
        for d in found
    ]
    names = ["column", "type", "nulls", "values", "example"]
    return Sheet(names, rows, drop_first=("example",), whole=("nulls", "values"))


def _range(d: Mapping[str, Any], info: ColumnInfo | None) -> str | None:
    if d.get("distinct") is not None:
        return f"{'' if d['distinct_exact'] else '~'}{d['distinct']:,} distinct"
    if d.get("len_min") is not None:
        return f"length {_span(d['len_min'], d['len_max'])}"
    if d.get("min") is not None:
        many = d.get("mean") is not None and d["min"] != d["max"]
        mean = f", mean {_number(d['mean'], info)}" if many else ""
        unit = f" {info.unit}" if info is not None and info.unit else ""
        return f"{_span(d['min'], d['max'], info)}{unit}{mean}"
    return f"{100 * d['mean']:.4g} % true" if d.get("mean") is not None else None


def _number(value: Any, info: ColumnInfo | None) -> str:
    shown = info.text(value) if info is not None and isinstance(value, int | float) else None
    return shown if shown is not None else render.cell(value)


def _span(low: Any, high: Any, info: ColumnInfo | None = None) -> str:
    """Return the two ends of a range, and no more than one where they look the same."""
    first, last = _number(low, info), _number(high, info)
    if first == last:
        return first
    day, _, time = last.partition("T")
    same_day = isinstance(high, datetime) and first.startswith(day)
    return f"{first} to {time if same_day else last}"


def findings_sheet(findings: Sequence[Mapping[str, Any]]) -> Sheet:
    """Return the findings of a validation, the worst first, each with all it says."""
    order = {"error": 0, "warning": 1, "note": 2}
    ranked = sorted(findings, key=lambda f: order[f["severity"]])
    names = ["severity", "rule", "place", "message", "hint"]
    rows = [[f[n] for n in names] for f in ranked]
    # One line per fact: a message that a table cuts would be no help.
    return Sheet(names, rows, tall=True)


def verdict(found: Mapping[str, Any]) -> str:
    """Return one line that counts the findings."""
    counts = ", ".join(
        f"{found[k]} {k[:-1] if found[k] == 1 else k}" for k in ("errors", "warnings", "notes")
    )
    return f"{found['dataset']}: {found['rows']:,} rows checked: {counts}"


def checkup_sheet(found: Checkup) -> Sheet:
    """Return the findings of all reports of an examination, each with all it says."""
    names = ["dataset", "severity", "kind", "path", "message", "hint", "repair"]
    rows = [
        [d.dataset, f.severity, f.kind, f.path, f.message, f.hint or None, _repair(f)]
        for d in found.all()
        for f in d.findings
    ]
    return Sheet(names, rows, tall=True)


def _looked(what: str, n: int) -> str:
    """Return how much was looked at, as in ``12 files``."""
    if what == "parsed":
        return f"{n:,} of them in a process of its own"
    if what == "tests":
        return f"{n} tests of the file system"
    return say.count(n, "log line" if what == "lines" else what.removesuffix("s"))


def _repair(found: Finding) -> str | None:
    return "done" if found.repaired else "usr doctor --repair" if found.repairable else None


def checkup_lines(found: Checkup) -> list[str]:
    """Return one line per report: what was looked at, and what was found."""
    lines = []
    for d in found.all():
        looked = ", ".join(_looked(what, n) for what, n in d.checked.items() if n) or "nothing"
        counts = [(len(d.errors), "error"), (len(d.warnings), "warning"), (len(d.notes), "note")]
        words = [say.count(n, noun) for n, noun in counts]
        words += [f"{len(d.repaired)} repaired"] if d.repaired else []
        lines.append(f"{d.dataset}: checked {looked}: {', '.join(words)}")
    return lines


def namespace_item(name: str, entry: Any) -> dict[str, Any]:
    """Return a registered namespace as plain values."""
    columns = [{"name": c.name, "type": c.type} for c in entry.columns]
    return {"namespace": name, "owner": entry.owner, "description": entry.description,
            "columns": columns}  # fmt: skip


def filter_items(found: Mapping[str, NamedFilter]) -> list[dict[str, Any]]:
    """Return saved filters as plain values; `problem` says why one cannot be read."""
    return [
        {
            "name": f.name,
            "where": f.line,
            "filter": None if f.where is None else f.where.to_json(),
            "saved_at": to_text(f.saved_at),
            "tool": f.tool,
            "run_id": f.run_id,
            "problem": f.problem,
        }
        for f in found.values()
    ]


def filters_sheet(found: Mapping[str, NamedFilter]) -> Sheet:
    """Return saved filters as a table."""
    rows = [[f.name, f.line, f.saved_at, f.tool, f.problem] for f in found.values()]
    names = ["name", "where", "saved_at", "tool", "problem"]
    if not any(f.problem for f in found.values()):
        names, rows = names[:-1], [r[:-1] for r in rows]
    return Sheet(names, rows, drop_first=("tool", "saved_at"), whole=("where",))


def event_line(event: Mapping[str, Any]) -> str:
    """Return one event as a line for people: time, action, counts, who."""
    metrics = event.get("metrics") or {}
    shown = " ".join(f"{k}={render.cell(v)}" for k, v in metrics.items())
    actor = (event.get("actor") or {}).get("tool") or "?"
    at = str(event.get("timestamp_utc", "?"))[:19]
    return f"{at}Z  {event.get('action', '?')!s:<18}  {actor}  {shown}".rstrip()
