"""Which part is newer (contract OVL-5)."""

from __future__ import annotations

from datetime import datetime

from usr_nb.contract.times import MICROSECOND


def part_key(created_at: datetime, file_name: str) -> tuple[datetime, str]:
    """Return the sort key of a part: ascending order is oldest first."""
    return created_at, file_name


def next_created_at(now: datetime, newest: datetime | None) -> datetime:
    """Return the time of a new part: a slow clock cannot lose a write.

    Examples
    --------
    >>> from datetime import UTC
    >>> late = datetime(2030, 1, 1, tzinfo=UTC)
    >>> next_created_at(datetime(2026, 1, 1, tzinfo=UTC), late) > late
    True
    """
    return now if newest is None else max(now, newest + MICROSECOND)
