"""Instants as text and back (contract LAY-8): UTC, microseconds, a trailing ``Z``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from usr_nb.errors import SchemaError

MICROSECOND = timedelta(microseconds=1)


def utc_now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return datetime.now(UTC)


def to_text(at: datetime) -> str:
    """Write an aware instant as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``.

    Examples
    --------
    >>> to_text(datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
    '2026-01-02T03:04:05.000006Z'
    """
    # Not strftime: it writes the years before 1000 with fewer than four digits.
    plain = at.astimezone(UTC).replace(tzinfo=None)
    return plain.isoformat(timespec="microseconds") + "Z"


def to_part_stamp(at: datetime) -> str:
    """Write an instant as it stands in part names: ``YYYYMMDDTHHMMSSffffffZ``."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%S%fZ")


def to_snapshot_stamp(at: datetime) -> str:
    """Write an instant as it stands in snapshot names: ``YYYYMMDDThhmmssffffff``."""
    return at.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")


def parse(text: str, *, where: str = "timestamp") -> datetime:
    """Read an ISO 8601 instant; one without a zone is UTC.

    Raises
    ------
    SchemaError
        If `text` is no instant. `where` names the place in the message.

    Examples
    --------
    >>> parse("2026-01-02").isoformat()
    '2026-01-02T00:00:00+00:00'
    """
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, AttributeError, OverflowError):
        raise SchemaError(
            f"{where}: {str(text)[:40]!r} is not a date or time",
            hint="Write times as 2026-01-31T12:00:00Z.",
        ) from None
