"""What people need to know of a column to read it: unit, label, which way is better, display.

It stands in ``columns.yaml`` at the root, outside the registry and its hash: changing it changes
no data and makes no overlay stale.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import yaml

from usr_nb.contract.essentials import ESSENTIALS
from usr_nb.contract.names import TOMBSTONE_NS, check_column, namespace_of
from usr_nb.errors import SchemaError, SequencesError, ValidationError, did_you_mean, join_hints

Better = Literal["high", "low"]
BETTER: Final[tuple[Better, ...]] = ("high", "low")
FIELDS: Final = ("unit", "label", "better", "format", "model", "reduction")
MAX_TEXT: Final = 200
_FORMAT: Final = re.compile(r"\+?,?(?:d|(?:\.\d{1,2})?[efg%])\Z")
_FORM: Final = f"Form: columns: {{<column>: {{{', '.join(FIELDS)}}}}}, all of them optional text."


@dataclass(frozen=True)
class ColumnInfo:
    """What people need to know of one column; what is None is not known.

    Attributes
    ----------
    unit : str or None
        As it stands behind a number or in the brackets of an axis: ``nats``, ``nt``.
    label : str or None
        A name for people.
    better : {"high", "low"} or None
        Which values are wanted.
    format : str or None
        How numbers are shown, as Python's format: ``.3f``, ``,d``, ``.1%``, ``+.2e``.
    model, reduction : str or None
        What computed the values, and how many became one: ``evo2_7b``, ``mean over positions``.
    """

    unit: str | None = None
    label: str | None = None
    better: Better | None = None
    format: str | None = None
    model: str | None = None
    reduction: str | None = None

    def as_plain(self) -> dict[str, str]:
        """Return what is known, as it stands in ``columns.yaml``."""
        return {k: v for k, v in asdict(self).items() if v is not None}

    def title(self, name: str) -> str:
        """Return the title of an axis or a table's column.

        Examples
        --------
        >>> ColumnInfo(unit="nats", label="Evo2 LLR").title("evo2__llr")
        'Evo2 LLR (nats)'
        >>> ColumnInfo().title("evo2__llr")
        'evo2__llr'
        """
        shown = self.label or name
        return f"{shown} ({self.unit})" if self.unit else shown

    def text(self, number: float | None) -> str | None:
        """Return a number as `format` wants it, or None where that says nothing.

        Examples
        --------
        >>> ColumnInfo(format=".1%").text(0.456), ColumnInfo().text(0.456)
        ('45.6%', None)
        """
        if self.format is None or number is None or not math.isfinite(number):
            return None
        return format(round(number) if self.format.endswith("d") else number, self.format)


Columns = Mapping[str, ColumnInfo]


def changed(info: ColumnInfo, values: Mapping[str, str | None], *, where: str) -> ColumnInfo:
    """Return what is known of a column with some of it set anew; None or "" forgets.

    Raises
    ------
    ValidationError
        If there is no such thing to know, or a value is not allowed.

    Examples
    --------
    >>> changed(ColumnInfo(unit="nt"), {"unit": None, "better": "high"}, where="x")
    ColumnInfo(unit=None, label=None, better='high', format=None, model=None, reduction=None)
    """
    for key, value in values.items():
        if key not in FIELDS:
            raise ValidationError(
                f"{where}: nothing is called {str(key)[:40]!r}",
                hint=join_hints(did_you_mean(str(key), FIELDS), f"Known: {', '.join(FIELDS)}."),
            )
        if value is not None and value != "":
            _check(key, value, where=where)
    return replace(info, **{k: v or None for k, v in values.items()})  # type: ignore[arg-type]


def _check(key: str, value: object, *, where: str) -> None:
    fine = isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable()
    if not fine or not isinstance(value, str):
        raise ValidationError(
            f"{where}: {key} is {str(value)[:40]!r}",
            hint=f"Write text of at most {MAX_TEXT} printable letters.",
        )
    if key == "better" and value not in BETTER:
        raise ValidationError(f"{where}: better is {value[:40]!r}", hint="It is high or low.")
    if key == "format" and not _FORMAT.match(value):
        raise ValidationError(
            f"{where}: {value[:40]!r} is no number format",
            hint="Write .3f, .4g, ,d, .1% or .2e; with + in front signs are always shown.",
        )


def check_name(name: str) -> str:
    """Return a column that something can be known of: essential, or of a namespace.

    Raises
    ------
    SchemaError, NamespaceError
        If it is neither.

    Examples
    --------
    >>> check_name("evo2__llr")
    'evo2__llr'
    """
    if name in ESSENTIALS:
        return name
    ns = namespace_of(name) if isinstance(name, str) else None
    if ns is None or ns == TOMBSTONE_NS:
        raise SchemaError(
            f"{str(name)[:60]!r} is no column of a namespace",
            hint=join_hints(did_you_mean(str(name), ESSENTIALS), "Write <namespace>__<field>."),
        )
    check_column(ns, name)
    return name


def parse_columns(plain: object, *, where: str) -> dict[str, ColumnInfo]:
    """Read the content of a ``columns.yaml``; every mistake names its place.

    Raises
    ------
    SchemaError, NamespaceError, ValidationError
        If the form is wrong.
    """
    listed = plain.get("columns") if isinstance(plain, dict) else None
    if listed is None and isinstance(plain, dict) and "columns" in plain:
        return {}
    if not isinstance(listed, dict):
        raise SchemaError(f"{where}: no mapping 'columns'", hint=_FORM)
    found = {}
    for name, body in listed.items():
        if not isinstance(body, dict):
            raise SchemaError(f"{where}: {str(name)[:60]!r} is no mapping", hint=_FORM)
        try:
            check_name(name)
        except SequencesError as error:
            raise SchemaError(f"{where}: {error.message}", hint=error.hint) from None
        found[name] = changed(ColumnInfo(), body, where=f"{where}: {name}")
    return found


def as_yaml(columns: Columns) -> str:
    """Return the text of ``columns.yaml``, columns A-Z."""
    plain: dict[str, Any] = {n: columns[n].as_plain() for n in sorted(columns)}
    text = yaml.safe_dump({"columns": plain}, sort_keys=False, allow_unicode=True, width=1_000)
    return str(text)
