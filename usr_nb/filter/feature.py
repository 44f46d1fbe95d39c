"""What a filter compares: a column or something computed, and a way into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from usr_nb.errors import ValidationError
from usr_nb.filter.values import as_text

Reducer = Literal["len", "min", "max", "mean"]
Computed = Literal["gc", "masked", "qc_status", "split", "deleted"]

REDUCERS: Final[tuple[Reducer, ...]] = ("len", "min", "max", "mean")
COMPUTED: Final[tuple[Computed, ...]] = ("gc", "masked", "qc_status", "split", "deleted")
MAX_PATH: Final = 16
GREATEST_POSITION: Final = 2**31 - 1


@dataclass(frozen=True)
class Feature:
    """What is compared: a column or something computed, and a way into it.

    Attributes
    ----------
    name : str
        A column, or if `computed` one of ``gc`` (share of G and C among the letters A, C, G, T
        and U of either case; N and all others count on neither side; null where there is none,
        and for proteins), ``masked`` (false if it was never set), ``qc_status``, ``split``,
        ``deleted`` (tombstoned).
    path : tuple of str or int
        Fields of structs by name, items of lists by 0-based place (-1 is the last).
    reducer : {"len", "min", "max", "mean"} or None
        Of a list: its length; least, greatest, mean of its numbers, nulls and NaN left out,
        null if none is left. ``len`` of text is its number of letters.
    computed : bool
        Whether `name` is computed rather than a column.
    """

    name: str
    path: tuple[str | int, ...] = ()
    reducer: Reducer | None = None
    computed: bool = False

    def __post_init__(self) -> None:
        if not as_text(self.name):
            raise ValidationError("A column needs a name")
        if self.computed and (self.name not in COMPUTED or self.path or self.reducer):
            raise ValidationError(
                f"{self.name[:40]!r} is not computed from a record",
                hint=f"Computed are {', '.join(COMPUTED)}, without a path.",
            )
        if self.reducer is not None and self.reducer not in REDUCERS:
            raise ValidationError(f"A list reducer is one of {', '.join(REDUCERS)}")
        if len(self.path) > MAX_PATH:
            raise ValidationError(f"A path has at most {MAX_PATH} steps")
        for step in self.path:
            if isinstance(step, bool) or not isinstance(step, str | int):
                raise ValidationError("A step of a path is a field name or a place in a list")
            if isinstance(step, str):
                if not as_text(step):
                    raise ValidationError("A field needs a name")
            elif abs(step) > GREATEST_POSITION:
                raise ValidationError(f"No list has an item {step}")

    def __str__(self) -> str:
        steps = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in self.path)
        inner = f"{self.name}{steps}"
        return f"{self.reducer}({inner})" if self.reducer else inner


def plain_feature(feature: Feature) -> dict[str, Any]:
    """Return a feature as JSON values."""
    if feature.computed:
        return {"computed": feature.name}
    return {"column": feature.name, "path": list(feature.path), "reducer": feature.reducer}
