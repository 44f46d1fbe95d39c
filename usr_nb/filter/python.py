"""A filter as one line of Python that evaluates back to an equal tree.

Written from the JSON form (:mod:`usr_nb.filter.codec`), which is closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

ATTRIBUTES: Final = frozenset(
    {"id", "bio_type", "alphabet", "sequence", "length", "source", "created_at"}
)
_CLOSED: Final = {
    (False, False): "", (False, True): ', closed="left"',
    (True, False): ', closed="right"', (True, True): ', closed="neither"',
}  # fmt: skip
Node = Mapping[str, Any]


def python_text(node: Node) -> str:
    """Return a node as Python; it needs only ``from usr_nb import F``. It is never evaluated here.

    Examples
    --------
    >>> python_text({"kind": "not", "of": {"kind": "null", "feature": {"computed": "gc"}}})
    'F.gc.not_null()'
    """
    kind = node["kind"]
    if kind in ("and", "or"):
        if not node["of"]:
            return "F.everything" if kind == "and" else "F.nothing"
        return (" & " if kind == "and" else " | ").join(_tight(c) for c in node["of"])
    if kind == "not":
        inner = node["of"]
        if _is_equality(inner):
            return f"{feature_python(inner['feature'])} != {_value(inner['values'][0])}"
        if inner["kind"] == "null":
            return f"{feature_python(inner['feature'])}.not_null()"
        return f"~{_tight(inner)}"
    return _condition(node, feature_python(node["feature"]))


def _tight(node: Node) -> str:
    """Return a node as an operand: comparisons and joins stand in parentheses."""
    loose = _is_comparison(node) or (node["kind"] in ("and", "or") and node["of"])
    return f"({python_text(node)})" if loose else python_text(node)


def _is_equality(node: Node) -> bool:
    return node["kind"] == "in" and len(node["values"]) == 1


def _is_comparison(node: Node) -> bool:
    """Say whether a node is written with a sign that binds less than & and |."""
    if node["kind"] == "not":
        return _is_equality(node["of"])
    if node["kind"] == "range":
        return node["low"] is None or node["high"] is None
    return _is_equality(node)


def _condition(node: Node, name: str) -> str:
    kind = node["kind"]
    if kind == "range":
        return _range(node, name)
    if kind == "in":
        values = [_value(v) for v in node["values"]]
        return (
            f"{name} == {values[0]}" if len(values) == 1 else f"{name}.isin([{', '.join(values)}])"
        )
    if kind == "text":
        return f"{name}.{node['how']}({quoted(node['text'])}{_case(node)})"
    if kind == "regex":
        return f"{name}.matches({quoted(node['pattern'])}{_case(node)})"
    if kind == "motif":
        return _motif(node, name)
    return f"{name}.is_{kind}()"


def _case(node: Node) -> str:
    return "" if node["case"] else ", case=False"


def _range(node: Node, name: str) -> str:
    low, high = node["low"], node["high"]
    if low is None:
        return f"{name} {'<' if node['high_open'] else '<='} {_value(high)}"
    if high is None:
        return f"{name} {'>' if node['low_open'] else '>='} {_value(low)}"
    closed = _CLOSED[node["low_open"], node["high_open"]]
    verb = "outside" if node["outside"] else "between"
    return f"{name}.{verb}({_value(low)}, {_value(high)}{closed})"


def _motif(node: Node, name: str) -> str:
    parts = [quoted(node["motif"])]
    if node["strand"] != "both":
        parts.append(f'strand="{node["strand"]}"')
    if node["mismatches"]:
        parts.append(f"mismatches={node['mismatches']}")
    if node["start"] is not None:
        parts.append(f"start={tuple(node['start'])}")
    if node["circular"]:
        parts.append("circular=True")
    return f"{'F' if name == 'F.sequence' else name}.motif({', '.join(parts)})"


def feature_python(feature: Node) -> str:
    """Return a feature as Python."""
    if "computed" in feature:
        return f"F.{feature['computed']}"
    name = feature["column"]
    text = f"F.{name}" if name in ATTRIBUTES else f"F[{quoted(name)}]"
    for step in feature["path"]:
        text += f"[{step}]" if isinstance(step, int) else f".field({quoted(step)})"
    return f"{text}.{feature['reducer']}()" if feature["reducer"] else text


def quoted(text: str) -> str:
    """Return text as a Python literal, in double quotes where that needs no more escapes."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal[0] == "'" and '"' not in text else literal


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        kind, text = next(iter(value.items()))
        return f'F.time("{text}")' if kind == "time" else f'float("{text}")'
    return quoted(value) if isinstance(value, str) else repr(value)
