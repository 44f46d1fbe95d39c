"""Cells that a spreadsheet would run as formulas, made text (``export --safe-csv``).

After OWASP, *CSV Injection*
(https://owasp.org/www-community/attacks/CSV_Injection) and OWASP ASVS 5.0, 1.2.10: a cell whose
first letter is one of ``= + - @``, tab, carriage return, line feed or NUL gets an apostrophe in
front, which spreadsheets take as "this is text". What is a plain number stays.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

_FORMULA: Final = r"^[=+\-@\t\r\n\x00]"
_NUMBER: Final = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"


def harmless(cells: pa.Array) -> pa.Array:
    """Return text cells with an apostrophe before each that a spreadsheet would run.

    Reading the file back gives the apostrophe too: the change is not undone, as a cell may begin
    with one of its own.

    Parameters
    ----------
    cells : pyarrow.Array
        Arrays of other types than string are returned as they are: numbers, booleans and
        times are written by us and are no formulas.

    Returns
    -------
    pyarrow.Array
        Of the same length and type. Nulls stay null.

    Examples
    --------
    >>> harmless(pa.array(["=1+1", "-35 box", "-1.5e3", "ACGT", None])).to_pylist()
    ["'=1+1", "'-35 box", '-1.5e3', 'ACGT', None]
    """
    if not pa.types.is_string(cells.type):
        return cells
    risky = pc.and_not(
        pc.match_substring_regex(cells, _FORMULA), pc.match_substring_regex(cells, _NUMBER)
    )
    if not pc.any(risky).as_py():
        return cells
    marked = pc.binary_join_element_wise("'", cells, "")
    return pc.if_else(pc.fill_null(risky, False), marked, cells)
