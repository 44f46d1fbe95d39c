"""What a repair is asked for and what it tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, get_args

from usr_nb.errors import ValidationError, did_you_mean

Dedupe = Literal["off", "keep-first", "keep-last", "ask"]
DEDUPES: Final[tuple[str, ...]] = get_args(Dedupe)
Choice = int | Literal["s"]
"""1-based number of the row to keep, 0 to drop all rows of the group, ``"s"`` to leave it alone."""

Reason = Literal["duplicate", "missing_used_tfbs", "single_tf", "id_seq_only"]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)


@dataclass(frozen=True)
class RepairRow:
    """One row of a group, as a person who chooses wants to see it."""

    id: str
    sequence: str
    source: str
    created_at: datetime


@dataclass(frozen=True)
class RepairGroup:
    """Rows that are equal when case is ignored, by time of creation, then id.

    Attributes
    ----------
    bio_type : str
    sequence : str
        In upper case.
    rows : tuple of RepairRow
        Two or more.
    """

    bio_type: str
    sequence: str
    rows: tuple[RepairRow, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the rows, in their order."""
        return tuple(r.id for r in self.rows)


@dataclass(frozen=True)
class Options:
    """What a repair was asked for."""

    min_tfbs_len: int
    dedupe: Dedupe
    drop_missing_used_tfbs: bool
    drop_single_tf: bool
    drop_id_seq_only: bool

    def __post_init__(self) -> None:
        length = self.min_tfbs_len
        if isinstance(length, bool) or not isinstance(length, int) or length < 2:
            raise ValidationError(
                f"min_tfbs_len is a whole number of 2 or more, not {str(length)[:40]!r}",
                hint="A motif of one base is the fault that a repair removes.",
            )
        if self.dedupe not in DEDUPES:
            raise ValidationError(
                f"dedupe {str(self.dedupe)[:40]!r} is not known",
                hint=did_you_mean(str(self.dedupe), DEDUPES) or f"Use one of {', '.join(DEDUPES)}.",
            )

    @property
    def drops(self) -> bool:
        """Whether rows may be dropped."""
        return self.dedupe != "off" or any(self.as_plain()[f] for f in _DROP_FLAGS)

    def as_plain(self) -> dict[str, Any]:
        """Return the ``args`` of the event."""
        return {
            "min_tfbs_len": self.min_tfbs_len,
            "dedupe": self.dedupe,
            **{flag: getattr(self, flag) for flag in _DROP_FLAGS},
        }

    def command(self, dataset: str) -> list[str]:
        """Return the equivalent command line."""
        words = ["usr", "densegen", "repair", dataset]
        words += ["--min-tfbs-len", str(self.min_tfbs_len), "--dedupe", self.dedupe]
        words += [f"--{f.replace('_', '-')}" for f in _DROP_FLAGS if getattr(self, f)]
        return [*words, "--yes"]


_DROP_FLAGS: Final = ("drop_missing_used_tfbs", "drop_single_tf", "drop_id_seq_only")


@dataclass(frozen=True)
class RepairReport:
    """What a repair found, and what it did or would do.

    Attributes
    ----------
    rows : int
        Rows of the base, tombstoned ones included: these are mended too, and never dropped.
    with_parts : int
        Rows whose ``densegen__tfbs_parts`` holds entries.
    single_base : int
        Rows with the single-base fault: a part, or a used site, whose motif is one letter.
    missing_used_tfbs, missing_detail : int
        Rows whose ``used_tfbs`` is null or empty, or whose detail is null or malformed, as found.
    single_tf : int
        Rows whose sequence holds the sites of just one factor.
    nothing_found : int
        Rows whose sequence holds none of their parts.
    id_seq_only : int
        Rows in which every derived column is null or empty (sites that follow from the letters
        alone do not count).
    unknown_plan : int
        Rows that name a plan without known hexamers; they get no promoter sites.
    groups : int
        Groups of equal sequences; looked for only where `dedupe` is asked for.
    changes : dict of str to int
        Column → rows that stay and get another value.
    touched : int
        Rows that stay and change.
    drops : dict of str to int
        Reason (``duplicate, missing_used_tfbs, single_tf, id_seq_only``) → rows dropped; a row
        that goes for several reasons counts under the first.
    examples : list of dict
        Up to three rows ``{"id", "drop": reason or None, "changes": {column: {"before",
        "after"}}}``.
    values_lost : dict of str to int
        Namespace → overlay values that only dropped rows showed.
    part, dropped_ids, snapshot : str or None
        Paths in the dataset of the new part, the list of dropped ids, and the automatic snapshot.
    dry_run : bool
        Whether nothing was written.

    Examples
    --------
    >>> RepairReport(rows=3, drops={"duplicate": 2}).rows_dropped
    2
    """

    rows: int = 0
    with_parts: int = 0
    single_base: int = 0
    missing_used_tfbs: int = 0
    missing_detail: int = 0
    single_tf: int = 0
    nothing_found: int = 0
    id_seq_only: int = 0
    unknown_plan: int = 0
    groups: int = 0
    changes: dict[str, int] = field(default_factory=dict)
    touched: int = 0
    drops: dict[str, int] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)
    values_lost: dict[str, int] = field(default_factory=dict)
    part: str | None = None
    dropped_ids: str | None = None
    snapshot: str | None = None
    dry_run: bool = False

    @property
    def rows_dropped(self) -> int:
        """Rows dropped, for whatever reason."""
        return sum(self.drops.values())
