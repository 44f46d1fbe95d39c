"""Tables on terminals, drawn by rich; imported only where one is drawn."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from usr_nb.cli import render, say
from usr_nb.cli.render import Sheet

ID_LETTERS: Final = 8
_WIDEST: Final = 48
_NARROW: Final = 14
_GAP: Final = 2
_HEAD: Final = 16
_HEAD_LINES: Final = 3


@dataclass(frozen=True)
class Fit:
    """Which columns a terminal has room for, how wide each is, and which are left out."""

    columns: list[int]
    widths: list[int]
    left_out: list[int]


def console() -> Console:
    """Return a console on the present standard output; ``NO_COLOR`` leaves bold out too."""
    plain = bool(os.environ.get("NO_COLOR"))
    # Asked for here: rich takes every dumb terminal for one of 80 columns.
    width = shutil.get_terminal_size().columns
    system: Literal["auto"] | None = None if plain else "auto"
    return Console(file=sys.stdout, highlight=False, color_system=system, width=width)


def fit(
    natural: Sequence[int],
    width: int,
    spare: Sequence[int],
    *,
    whole: Sequence[int] = (),
    keep_all: bool = False,
) -> Fit:
    """Choose columns and widths for a terminal.

    Wide columns are narrowed first; then columns are left out, those in `spare` before others,
    the others from the right. The first column always stays.

    Parameters
    ----------
    natural : sequence of int
        The width that each column would like, in characters.
    width : int
        Characters in a line.
    spare : sequence of int
        Columns that can be missed most easily, in that order.
    whole : sequence of int
        Columns that are not narrowed as long as there is one to spare.
    keep_all : bool
        Narrow to almost nothing before leaving one out.

    Examples
    --------
    >>> fit([8, 60, 10], 40, [])
    Fit(columns=[0, 1, 2], widths=[8, 18, 10], left_out=[])
    """
    widths = [min(n, max(_WIDEST, width // 2)) for n in natural]
    least = 6 if keep_all else _NARROW
    floor = [max(least, w) if i in whole else least for i, w in enumerate(widths)]
    kept = list(range(len(widths)))
    gone: list[int] = []
    order = [*spare, *(i for i in reversed(kept) if i not in spare and i > 0)]

    def room() -> int:
        return width - sum(widths[i] for i in kept) - _GAP * (len(kept) - 1)

    while True:
        while room() < 0:
            # The first column says which row it is: it is narrowed last.
            widest = max(kept, key=lambda i: (widths[i] > floor[i] and i > 0, widths[i] - floor[i]))
            if widths[widest] <= floor[widest]:
                break
            widths[widest] -= 1
        if room() >= 0 or not order:
            break
        if order[0] not in spare and max(floor) > least:
            floor = [least] * len(widths)
            continue
        gone.append(order.pop(0))
        kept.remove(gone[-1])
        for i in kept:
            widths[i] = min(natural[i], max(_WIDEST, width // 2))
    return Fit(kept, [widths[i] for i in kept], sorted(gone))


def show(sheet: Sheet) -> None:
    """Draw a sheet on standard output, with a notice of what is cut or left out."""
    out = console()
    if sheet.tall:
        _tall(out, sheet)
        return
    names = list(sheet.columns)
    cells = [
        [
            _short_id(n, render.cell(v), alone=len(names) == 1)
            for n, v in zip(names, row, strict=True)
        ]
        for row in sheet.rows
    ]
    natural = [
        max([min(cell_len(n), _HEAD), *(cell_len(r[i]) for r in cells)])
        for i, n in enumerate(names)
    ]
    spare = [names.index(n) for n in sheet.drop_first or () if n in names]
    whole = [names.index(n) for n in sheet.whole if n in names]
    chosen = fit(natural, out.width, spare, whole=whole, keep_all=sheet.drop_first is None)
    right = [_numeric(sheet.rows, i) for i in chosen.columns]
    heads = [head_lines(names[i], w) for i, w in zip(chosen.columns, chosen.widths, strict=True)]
    tall = max(map(len, heads))
    for words in zip(*([""] * (tall - len(h)) + h for h in heads), strict=True):
        line = _line(words, chosen.widths, right)
        out.print(Text(line, style="bold"), no_wrap=True, crop=False)
    across = sum(chosen.widths) + _GAP * (len(chosen.widths) - 1)
    out.print(Text("─" * across, style="dim"), no_wrap=True, crop=False)
    for row in cells:
        line = _line([row[i] for i in chosen.columns], chosen.widths, right)
        out.print(Text(line), no_wrap=True, crop=False)
    notices(sheet, names, natural, chosen)


def head_lines(name: str, width: int) -> list[str]:
    """Return the name of a column on lines of some width, broken after underscores if it can be.

    Examples
    --------
    >>> head_lines("sim_assay__log2_rna_dna_r1", 13)
    ['sim_assay__', 'log2_rna_dna_', 'r1']
    """
    lines: list[str] = []
    rest = name
    while len(rest) > width and len(lines) < _HEAD_LINES - 1:
        # The namespace on a line of its own, if that is where it ends.
        at = rest.find("__", 0, width - 1) + 2 if not lines else 1
        at = at if at > 1 else rest.rfind("_", 0, width) + 1
        at = at if at > 1 else width
        lines.append(rest[:at])
        rest = rest[at:]
    return [*lines, rest]


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    """Return one line of a table; an ellipsis stands for what is too long.

    In the first column it stands in the middle: names differ at their ends.
    """
    out: list[str] = []
    for text, width, to_right in zip(cells, widths, right, strict=True):
        room = width - cell_len(text)
        if room < 0:
            tail = text[-(width // 3) :] if not out and text.isascii() else ""
            out.append(set_cell_size(text, width - 1 - len(tail)) + "…" + tail)
        else:
            out.append(" " * room + text if to_right else text + " " * room)
    return (" " * _GAP).join(out).rstrip()


def notices(sheet: Sheet, names: Sequence[str], natural: Sequence[int], chosen: Fit) -> None:
    """Say what the terminal had no room for."""
    if chosen.left_out:
        left = [names[i] for i in chosen.left_out]
        shown = ", ".join(left[:6]) + (", ..." if len(left) > 6 else "")
        say.note(f"{say.count(len(left), 'column')} not shown: {shown} ({sheet.see}).")
    short = any(natural[i] > w for i, w in zip(chosen.columns, chosen.widths, strict=True))
    if short or any(isinstance(v, list) and len(v) > 3 for row in sheet.rows for v in row):
        say.note("Long values are cut; --format json has them whole.")


def _short_id(name: str, text: str, *, alone: bool) -> str:
    return text[:ID_LETTERS] if name == "id" and not alone else text


def _numeric(rows: Sequence[Sequence[Any]], i: int) -> bool:
    values = [row[i] for row in rows if row[i] is not None]
    return bool(values) and all(
        isinstance(v, int | float) and not isinstance(v, bool) for v in values
    )


def _tall(out: Console, sheet: Sheet) -> None:
    indent = max(map(len, sheet.columns), default=0) + _GAP
    room = max(_WIDEST, out.width) - indent
    for n, row in enumerate(sheet.rows):
        if n:
            out.print()
        for name, value in zip(sheet.columns, row, strict=True):
            # Words without a space, as sequences are, stay whole: they can be copied.
            text = textwrap.wrap(render.cell(value), room, break_long_words=False,
                                 break_on_hyphens=False)  # fmt: skip
            line = Text(name.ljust(indent), style="bold")
            line.append(f"\n{' ' * indent}".join(text), style="not bold")
            out.print(line, soft_wrap=True)
    if any(isinstance(v, list) and len(v) > 3 for row in sheet.rows for v in row):
        say.note("Long vectors are shortened; --format json has them whole.")
