"""Types for columns that are not registered yet, proposed from their cells."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.types import parse_type, type_text
from usr_nb.errors import SequencesError
from usr_nb.overlay.cast import cast_column

#: In this order; the first that holds every cell is proposed.
_CANDIDATES: Final = (
    "int64", "float64", "timestamp[us, UTC]", "list<int64>", "list<float64>", "list<string>",
)  # fmt: skip
_WORDS: Final = r"^(?i:true|false)$"
#: Numbers that would lose letters: 007 is a name, not seven.
_CODE: Final = r"^\s*[+-]?0\d"
_LOOKED_AT: Final = 4_096


def propose_type(values: pa.ChunkedArray) -> str:
    """Return the registry's name of the type that holds every cell of a column.

    Columns that have a type keep it; text is looked at. An empty column is text.

    Examples
    --------
    >>> propose_type(pa.chunked_array([["1", "2.5", None]]))
    'float64'
    >>> propose_type(pa.chunked_array([["007", "12"]]))
    'string'
    >>> propose_type(pa.chunked_array([["[1.5, 2]", "[0.1, 3]"]]))
    'list<float64>'
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        return propose_type(values.cast(kind.value_type))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return _typed(kind)
    text = values.cast(pa.string()).drop_null()
    text = text.filter(pc.not_equal(pc.utf8_trim_whitespace(text), ""))
    if len(text) == 0:
        return "string"
    if pc.all(pc.match_substring_regex(text, _WORDS)).as_py():
        return "bool"
    if pc.any(pc.match_substring_regex(text, _CODE)).as_py():
        return "string"
    for candidate in _CANDIDATES:
        # Few cells tell most mistakes, and all of them tell the rest.
        if _holds(text.slice(0, _LOOKED_AT), candidate) and _holds(text, candidate):
            return candidate
    return "string"


def _typed(kind: pa.DataType) -> str:
    if pa.types.is_null(kind):
        return "string"
    if pa.types.is_date(kind):
        return "timestamp[us, UTC]"
    try:
        return type_text(parse_type(type_text(kind)))
    except SequencesError:
        return "string"


def _holds(text: pa.ChunkedArray, candidate: str) -> bool:
    try:
        cast_column(text, parse_type(candidate), name="?", parse_json=True, where="?")
    except SequencesError:
        return False
    return True
