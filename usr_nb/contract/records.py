"""Tombstones and record state: their tables and their words (contract DEL, STA)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

from usr_nb.contract.essentials import TIMESTAMP
from usr_nb.contract.names import storable
from usr_nb.errors import ValidationError, did_you_mean

QC_STATUS: Final[tuple[str, ...]] = ("pass", "fail", "warn", "unknown")
SPLIT: Final[tuple[str, ...]] = ("train", "val", "test", "holdout")

TOMBSTONE_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("usr__deleted", pa.bool_()),
        ("usr__deleted_at", TIMESTAMP),
        ("usr__deleted_reason", pa.string()),
    ]
)
STATE_SCHEMA: Final = pa.schema(
    [
        ("id", pa.string()),
        ("usr_state__masked", pa.bool_()),
        ("usr_state__qc_status", pa.string()),
        ("usr_state__split", pa.string()),
        ("usr_state__supersedes", pa.string()),
        ("usr_state__lineage", pa.list_(pa.string())),
    ]
)
STATE_FIELDS: Final[tuple[str, ...]] = ("masked", "qc_status", "split", "supersedes", "lineage")


def check_state(values: dict[str, Any]) -> dict[str, Any]:
    """Return the state fields that were given (not None), each checked (STA-3).

    Raises
    ------
    ValidationError
        If no field is given, a word is unknown, a type is wrong, or a lineage is empty.

    Examples
    --------
    >>> check_state({"qc_status": "pass", "masked": None})
    {'qc_status': 'pass'}
    """
    given = {k: v for k, v in values.items() if v is not None}
    if not given:
        raise ValidationError(
            "No state field was given", hint=f"Set at least one of {', '.join(STATE_FIELDS)}."
        )
    for field, words in (("qc_status", QC_STATUS), ("split", SPLIT)):
        if field in given and given[field] not in words:
            raise ValidationError(
                f"{field} {str(given[field])[:40]!r} is not one of {', '.join(words)}",
                hint=did_you_mean(str(given[field]), words),
            )
    if "masked" in given and not isinstance(given["masked"], bool):
        raise ValidationError(f"masked must be True or False, not {given['masked']!r}")
    if "supersedes" in given and (
        not isinstance(given["supersedes"], str) or not given["supersedes"]
    ):
        raise ValidationError("supersedes must be the id of a record")
    if "supersedes" in given:
        given["supersedes"] = storable(given["supersedes"])
    if "lineage" in given:
        given["lineage"] = [storable(x) for x in _lineage(given["lineage"])]
    return given


def _lineage(value: Any) -> list[str]:
    ancestors: list[Any] = (
        list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [0]
    )
    if not all(isinstance(x, str) and x for x in ancestors):
        raise ValidationError("lineage must be a list of non-empty strings")
    if not ancestors:
        raise ValidationError("lineage is empty", hint="Name at least one ancestor.")
    return ancestors
