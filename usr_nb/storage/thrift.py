"""The few structs of a Parquet footer that are taken apart and put together again.

Thrift's compact protocol, on bytes. Fields that nobody asks for stay the bytes they are, so nothing
that another writer put there is lost or misread; what is asked for are offsets, sizes and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

I16, I32, I64, BINARY, LIST, STRUCT = 4, 5, 6, 8, 9, 12
_NUMBERS: Final = frozenset({I16, I32, I64})
_BOOLS: Final = frozenset({1, 2})
_BYTE: Final = 3
#: Bytes of a value: booleans have theirs in the header.
_FIXED: Final = {1: 0, 2: 0, _BYTE: 1, 7: 8}
_DEEPEST: Final = 32

#: A field: its kind, and its value as the bytes it is encoded in (without its header).
Field = tuple[int, bytes]
T = TypeVar("T")
#: Reads a field: from its kind, the data and its place to what it holds, and where it ends.
Reader = Callable[[int, bytes, int], tuple[T, int]]


class Malformed(ValueError):
    """What is no struct of this protocol, or one that is not expected in a footer."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        b = data[at]
        at += 1
        value |= (b & 0x7F) << shift
        if b < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise Malformed("a number is too long")


def _skip(data: bytes, at: int, kind: int, depth: int = 0) -> int:
    """Return where the value of a field ends."""
    if kind in _NUMBERS:
        while data[at] >= 0x80:
            at += 1
        return at + 1
    if kind == BINARY:
        n, at = _varint(data, at)
        return at + n
    if kind in _FIXED:
        return at + _FIXED[kind]
    if depth > _DEEPEST:
        raise Malformed("nested too deeply")
    if kind == LIST:
        inner, n, at = _list_head(data, at)
        for _ in range(n):
            # A boolean in a list takes a byte, as a field none.
            at = _skip(data, at, _BYTE if inner in _BOOLS else inner, depth + 1)
        return at
    if kind != STRUCT:
        raise Malformed(f"unknown kind {kind}")
    while head := data[at]:
        at += 1
        if head < 16:
            at = _skip(data, at, I16)
        at = _skip(data, at, head & 15, depth + 1)
    return at + 1


def _list_head(data: bytes, at: int) -> tuple[int, int, int]:
    """Return (kind of the elements, how many, where the first begins)."""
    head = data[at]
    n, at = (_varint(data, at + 1)) if head >> 4 == 15 else (head >> 4, at + 1)
    if n > len(data):
        raise Malformed("a list is longer than all there is")
    return head & 15, n, at


def fields(
    data: bytes, at: int = 0, inside: Mapping[int, Reader[Any]] | None = None
) -> tuple[dict[int, Field], dict[int, Any], int]:
    """Take one struct apart, its nested ones in the same pass.

    Parameters
    ----------
    data : bytes
        What holds it.
    at : int
        Where it begins.
    inside : mapping of int to callable, optional
        For the fields that are to be taken apart themselves: given kind, data and place, what they
        hold and where they end.

    Returns
    -------
    fields : dict of int to Field
        Field id → kind and bytes, without those of `inside`.
    read : dict of int to object
        What was read of those.
    end : int
        Where the struct ends.

    Raises
    ------
    Malformed, IndexError
        If it is none.
    """
    out: dict[int, Field] = {}
    read: dict[int, Any] = {}
    last = 0
    wanted = inside or {}
    while True:
        head = data[at]
        at += 1
        if head == 0:
            return out, read, at
        delta, kind = head >> 4, head & 15
        if delta:
            last += delta
        else:
            n, at = _varint(data, at)
            last = (n >> 1) ^ -(n & 1)
        if last in out or last in read:
            raise Malformed("a field is there twice")
        if last in wanted:
            read[last], at = wanted[last](kind, data, at)
        else:
            end = _skip(data, at, kind)
            out[last] = (kind, data[at:end])
            at = end
        if at > len(data):
            raise Malformed("a field is cut off")


def one(read: Callable[[bytes, int], tuple[T, int]]) -> Reader[T]:
    """Return a reader of a field that is a struct."""

    def of_field(kind: int, data: bytes, at: int) -> tuple[T, int]:
        if kind != STRUCT:
            raise Malformed("not a struct")
        return read(data, at)

    return of_field


def each(read: Callable[[bytes, int], tuple[T, int]]) -> Reader[list[T]]:
    """Return a reader of a field that is a list of structs."""

    def of_field(kind: int, data: bytes, at: int) -> tuple[list[T], int]:
        if kind != LIST:
            raise Malformed("not a list")
        inner, n, at = _list_head(data, at)
        if inner != STRUCT and n:
            raise Malformed("not a list of structs")
        out = []
        for _ in range(n):
            found, at = read(data, at)
            out.append(found)
        return out, at

    return of_field


def number(field: Field) -> int:
    """Return the value of a whole number."""
    kind, data = field
    if kind not in _NUMBERS:
        raise Malformed("not a number")
    n, _ = _varint(data, 0)
    return (n >> 1) ^ -(n & 1)


def text(field: Field) -> str:
    """Return the value of a string."""
    kind, data = field
    if kind != BINARY:
        raise Malformed("not a string")
    return data[_varint(data, 0)[1] :].decode()


def encoded(value: int, kind: int = I64) -> Field:
    """Return a whole number (not negative) as a field."""
    return kind, _put(value << 1)


def _put(n: int) -> bytes:
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def listed(items: Sequence[bytes]) -> Field:
    """Return structs as a list field."""
    n = len(items)
    head = bytes([n << 4 | STRUCT]) if n < 15 else bytes([0xF0 | STRUCT]) + _put(n)
    return LIST, head + b"".join(items)


def struct(content: Mapping[int, Field]) -> bytes:
    """Put fields together again, in the order of their ids."""
    out = bytearray()
    last = 0
    for at in sorted(content):
        kind, data = content[at]
        delta = at - last
        if 0 < delta < 16:
            out.append(delta << 4 | kind)
        else:
            out.append(kind)
            out += _put(at << 1)
        out += data
        last = at
    out.append(0)
    return bytes(out)
