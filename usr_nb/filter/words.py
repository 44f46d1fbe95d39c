"""A filter as a readable line, which :mod:`usr_nb.filter.line` reads back.

Written from the JSON form (:mod:`usr_nb.filter.codec`), which is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from usr_nb.filter.tokens import name_text, quoted

Node = Mapping[str, Any]


def line_text(node: Node) -> str:
    """Return a node as a line.

    Examples
    --------
    >>> line_text({"kind": "not", "of": {"kind": "null", "feature": {"computed": "gc"}}})
    'gc is not null'
    """
    kind = node["kind"]
    if kind in ("and", "or"):
        if not node["of"]:
            return "everything" if kind == "and" else "nothing"
        return f" {kind} ".join(_tight(c) for c in node["of"])
    if kind == "not":
        inner = node["of"]
        return _condition(inner, negative=True) if _has_negative(inner) else f"not {_tight(inner)}"
    return _condition(node, negative=False)


def _tight(node: Node) -> str:
    joined = node["kind"] in ("and", "or") and node["of"]
    return f"({line_text(node)})" if joined else line_text(node)


def _has_negative(node: Node) -> bool:
    """Say whether a test has a way of its own to say no."""
    if node["kind"] == "in":
        return not _is_true(node)
    if node["kind"] == "range":
        return not node["outside"] and None not in (node["low"], node["high"])
    return node["kind"] in ("null", "nan")


def _is_true(node: Node) -> bool:
    return len(node["values"]) == 1 and node["values"][0] is True


def _condition(node: Node, *, negative: bool) -> str:
    kind, name = node["kind"], feature_line(node["feature"])
    if kind == "range":
        return _range(node, name, negative=negative)
    if kind == "in":
        return _in(node, name, negative=negative)
    if kind == "text":
        return f"{name} {node['how']} {quoted(node['text'])}{_case(node)}"
    if kind == "regex":
        return f"{name} matches {quoted(node['pattern'])}{_case(node)}"
    if kind == "motif":
        return f"{name} has {_motif(node)}"
    return f"{name} is {'not ' if negative else ''}{kind}"


def _case(node: Node) -> str:
    return "" if node["case"] else " nocase"


def _in(node: Node, name: str, *, negative: bool) -> str:
    values = [value_line(v) for v in node["values"]]
    if len(values) > 1:
        return f"{name} {'not ' if negative else ''}in {{{', '.join(values)}}}"
    if _is_true(node) and not negative:
        return name
    return f"{name} {'!=' if negative else '=='} {values[0]}"


def _range(node: Node, name: str, *, negative: bool) -> str:
    low, high = node["low"], node["high"]
    if low is None:
        return f"{name} {'<' if node['high_open'] else '<='} {value_line(high)}"
    if high is None:
        return f"{name} {'>' if node['low_open'] else '>='} {value_line(low)}"
    ends = f"{value_line(low)}, {value_line(high)}"
    text = f"{'(' if node['low_open'] else '['}{ends}{')' if node['high_open'] else ']'}"
    word = "outside" if node["outside"] else "not in" if negative else "in"
    return f"{name} {word} {text}"


def _motif(node: Node) -> str:
    parts = [quoted(node["motif"])]
    if node["mismatches"]:
        parts.append(f"mismatches {node['mismatches']}")
    if node["strand"] != "both":
        parts.append(f"strand {node['strand']}")
    if node["start"] is not None:
        parts.append(f"start [{node['start'][0]}, {node['start'][1]})")
    if node["circular"]:
        parts.append("circular")
    return " ".join(parts)


def feature_line(feature: Node) -> str:
    """Return a feature as a line holds it."""
    if "computed" in feature:
        return str(feature["computed"])
    text = name_text(feature["column"])
    for step in feature["path"]:
        text += f"[{step}]" if isinstance(step, int) else "." + name_text(step, column=False)
    return f"{feature['reducer']}({text})" if feature["reducer"] else text


def value_line(value: Any) -> str:
    """Return a value as a line holds it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return str(next(iter(value.values())))
    return quoted(value) if isinstance(value, str) else repr(value)
