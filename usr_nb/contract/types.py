"""Registry type text and Arrow types, both ways (contract REG-5)."""

from __future__ import annotations

import re
from typing import Any, Final

import pyarrow as pa

from usr_nb.errors import SchemaError, did_you_mean, join_hints

_PLAIN: Final[dict[str, Any]] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}
_PLAIN_TYPES: Final = frozenset(_PLAIN.values())
_SAME: Final = {
    "large_string": "string",
    "str": "string",
    "boolean": "bool",
    "float": "float32",
    "double": "float64",
    "halffloat": "float16",
}
_TIMESTAMP = re.compile(r"timestamp\[\s*(s|ms|us|ns)\s*(?:,\s*(?:tz=)?UTC\s*)?\]\Z")
_FIXED = re.compile(r"\[\s*([0-9]{1,9})\s*\]\Z")
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_ .\-]*\Z")
MAX_DEPTH: Final = 16
MAX_TEXT: Final = 4096


def split_top_level(text: str, sep: str = ",") -> list[str]:
    """Split at `sep`, but not inside ``<>`` or ``[]`` (REG-5).

    Examples
    --------
    >>> split_top_level("a__x:struct<p:int8,q:string>,a__y:timestamp[us, UTC]")
    ['a__x:struct<p:int8,q:string>', 'a__y:timestamp[us, UTC]']
    """
    parts: list[str] = []
    depth = 0
    start = 0
    for i, c in enumerate(text):
        if c in "<[":
            depth += 1
        elif c in ">]":
            depth -= 1
        elif c == sep and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return parts


def parse_type(text: str, *, _depth: int = 0) -> pa.DataType:
    """Read a registry type.

    Parameters
    ----------
    text : str
        ``string``, ``bool``, ``int8`` to ``int64``, ``uint8`` to ``uint64``, ``float16/32/64``,
        ``list<T>``, ``fixed_size_list<T>[n]``, ``struct<a:T,b:U>``, ``timestamp[unit]`` or
        ``timestamp[unit, UTC]``, nested at will.

    Raises
    ------
    SchemaError
        If the text is no such type; the hint names the closest one.

    Examples
    --------
    >>> parse_type("list<struct<tf:string,count:int64>>")
    ListType(list<item: struct<tf: string, count: int64>>)
    """
    t = text.strip()
    if _depth > MAX_DEPTH or len(text) > MAX_TEXT:
        raise SchemaError(f"Type {text[:60]!r} is nested too deeply or too long")
    if (plain := _SAME.get(t, t)) in _PLAIN:
        return _PLAIN[plain]
    if m := _TIMESTAMP.match(t):
        return pa.timestamp(m.group(1), tz="UTC" if "UTC" in t else None)
    for head in ("fixed_size_list<", "large_list<", "list<", "struct<"):
        if t.startswith(head):
            return _parse_nested(t, head, _depth + 1)
    raise SchemaError(
        f"Type {text[:60]!r} is not known",
        hint=join_hints(
            did_you_mean(t, [*_PLAIN, "list<float64>", "timestamp[us, UTC]"]),
            "Types are string, bool, int8..int64, uint8..uint64, float16/32/64, list<T>, "
            "fixed_size_list<T>[n], struct<a:T,b:U>, timestamp[unit], timestamp[unit, UTC].",
        ),
    )


def _parse_nested(t: str, head: str, depth: int) -> pa.DataType:
    size = None
    body = t
    if head == "fixed_size_list<":
        m = _FIXED.search(t)
        if not m:
            raise SchemaError(f"Type {t[:60]!r}: write fixed_size_list<T>[n]")
        size = int(m.group(1))
        body = t[: m.start()].rstrip()
    if not body.endswith(">"):
        raise SchemaError(f"Type {t[:60]!r}: '>' is missing", hint="Write it like list<float64>.")
    inner = body[len(head) : -1]
    if head != "struct<":
        item = parse_type(inner, _depth=depth)
        return pa.list_(item) if size is None else pa.list_(item, size)
    fields = []
    for part in split_top_level(inner):
        name, sep, child = part.partition(":")
        if not sep or not _FIELD_NAME.match(name.strip()):
            raise SchemaError(f"Type {t[:60]!r}: write struct<name:type,...>")
        fields.append(pa.field(name.strip(), parse_type(child, _depth=depth)))
    names = [f.name for f in fields]
    if len(set(names)) != len(names):
        raise SchemaError(f"Type {t[:60]!r}: a struct field is named twice")
    return pa.struct(fields)


def type_text(dtype: pa.DataType) -> str:
    """Write an Arrow type as registry text; the inverse of :func:`parse_type`.

    Large strings and lists are written as plain ones.

    Examples
    --------
    >>> type_text(pa.list_(pa.float32(), 16))
    'fixed_size_list<float32>[16]'
    """
    if pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype):
        return "string"
    if pa.types.is_dictionary(dtype):
        return type_text(dtype.value_type)
    if pa.types.is_fixed_size_list(dtype):
        return f"fixed_size_list<{type_text(dtype.value_type)}>[{dtype.list_size}]"
    if pa.types.is_list(dtype) or pa.types.is_large_list(dtype):
        return f"list<{type_text(dtype.value_type)}>"
    if pa.types.is_struct(dtype):
        fields = (dtype.field(i) for i in range(dtype.num_fields))
        return "struct<" + ",".join(f"{f.name}:{type_text(f.type)}" for f in fields) + ">"
    if pa.types.is_timestamp(dtype):
        return f"timestamp[{dtype.unit}]" if dtype.tz is None else f"timestamp[{dtype.unit}, UTC]"
    for name, plain in _PLAIN.items():
        if dtype.equals(plain):
            return name
    return str(dtype)


def is_registry_type(dtype: pa.DataType) -> bool:
    """Say whether the registry can hold a column of this Arrow type."""
    try:
        parse_type(type_text(dtype))
    except SchemaError:
        return False
    return not (pa.types.is_timestamp(dtype) and dtype.tz not in (None, "UTC"))


def plain_type(dtype: pa.DataType) -> pa.DataType:
    """Return the type as this store writes it: no large, view or dictionary forms.

    Examples
    --------
    >>> plain_type(pa.large_list(pa.large_string()))
    ListType(list<item: string>)
    """
    if dtype in _PLAIN_TYPES:
        return dtype
    return parse_type(type_text(dtype)) if is_registry_type(dtype) else dtype


def same_type(a: pa.DataType, b: pa.DataType) -> bool:
    """Say whether two types are one in the registry's eyes (large forms, child names)."""
    return type_text(a) == type_text(b)


def stored_as(found: pa.DataType, registered: pa.DataType) -> bool:
    """Say whether a Parquet column of type `found` is one of the registered type.

    Parquet has no seconds: ``timestamp[s]`` is stored, and found again, as milliseconds.

    Examples
    --------
    >>> stored_as(pa.timestamp("ms"), pa.timestamp("s"))
    True
    >>> stored_as(pa.timestamp("s"), pa.timestamp("ms"))
    False
    """
    if found == registered:
        return True
    text = type_text(registered)
    return type_text(found) in (text, text.replace("timestamp[s", "timestamp[ms"))
