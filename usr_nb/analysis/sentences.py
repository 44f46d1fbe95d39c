"""What an event says, as a sentence: true counts from its metrics, no guesses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from usr_nb.contract.events import REDACTED

_STATE_FIELDS: Final = ("masked", "qc_status", "split", "supersedes", "lineage")
_LONG: Final = 80


def sentence(event: Mapping[str, Any]) -> str:
    """Return what an event did.

    Examples
    --------
    >>> sentence(
    ...     {
    ...         "action": "write_overlay_part",
    ...         "args": {"namespace": "evo2"},
    ...         "metrics": {"rows_written": 50000, "rows_overwritten": 0},
    ...     }
    ... )
    'evo2 +50,000 rows, 0 overwritten'
    >>> sentence({"action": "my_tool.step", "metrics": {"rows": 3}})
    'my_tool.step (rows 3)'
    """
    action = str(event.get("action"))
    args, metrics = _mapping(event.get("args")), _mapping(event.get("metrics"))
    made = _SENTENCES.get(action)
    if made is not None and (said := made(args, metrics)):
        return said
    told = ", ".join(
        f"{_words(k)} {_short(v)}" for k, v in metrics.items() if isinstance(v, int | float | str)
    )
    return f"{_words(action)} ({told})" if told else _words(action)


def run_sentence(
    namespace: str, action: str, *, parts: int, written: int, overwritten: int | None
) -> str:
    """Return what the parts of a run did together.

    Examples
    --------
    >>> run_sentence("evo2", "write_overlay_part", parts=20, written=1000, overwritten=0)
    'evo2 +1,000 rows in 20 parts, 0 overwritten'
    """
    if action in {"write_overlay_part", "attach"}:
        return f"{namespace} +{written:,} rows in {parts} parts{_lost(overwritten)}"
    return f"{_words(action)}, {parts} times" + (f" on {namespace}" if namespace else "")


def part_sentence(said: str, *, part: int, parts: int) -> str:
    """Return the sentence of one part of a run: "... part 7 of 20, ...".

    Examples
    --------
    >>> part_sentence("evo2 +50 rows, 0 overwritten", part=7, parts=20)
    'evo2 +50 rows, part 7 of 20, 0 overwritten'
    """
    first, comma, rest = said.partition(", ")
    return f"{first}, part {part} of {parts}{comma}{rest}"


def values_of(event: Mapping[str, Any]) -> tuple[int, int | None]:
    """Return how many rows an event wrote values for, and how many it overwrote, if it says so."""
    metrics = _mapping(event.get("metrics"))
    written = next(
        (n for k in ("rows_written", "rows_matched", "rows") if (n := _count(metrics.get(k)))), 0
    )
    lost = metrics.get("rows_overwritten")
    return written or 0, lost if isinstance(lost, int) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(metrics: Mapping[str, Any], *names: str) -> str | None:
    return next((f"{n:,}" for k in names if (n := _count(metrics.get(k))) is not None), None)


def _lost(overwritten: int | None) -> str:
    return "" if overwritten is None else f", {overwritten:,} overwritten"


def _words(name: str) -> str:
    return name.replace("_", " ") if "." not in name else name


def _short(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def _records(count: str | None) -> str:
    return f"{count} record{'' if count == '1' else 's'}"


def _imported(args: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    rows = _number(metrics, "rows_written", "rows")
    if rows is None:
        return ""
    skipped = _count(metrics.get("rows_skipped"))
    source = args.get("source") or args.get("path")
    told = (
        f" from {_short(source)}" if isinstance(source, str) and source[:1] not in {"", "<"} else ""
    )
    return f"+{_records(rows)}{told}" + (f", {skipped:,} skipped" if skipped else "")


def _written(args: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    rows = _number(metrics, "rows_written", "rows_matched", "rows")
    namespace = args.get("namespace")
    if rows is None or not isinstance(namespace, str):
        return ""
    missing = _count(metrics.get("rows_missing"))
    unset = _count(metrics.get("rows_unset"))
    return (
        f"{namespace} +{rows} rows{_lost(_count(metrics.get('rows_overwritten')))}"
        + (f", {unset:,} unset" if unset else "")
        + (f", {missing:,} matched nothing" if missing else "")
    )


def _deleted(args: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    reason = args.get("reason")
    return f"deleted {_records(_number(metrics, 'rows'))}" + (
        f": {_short(reason)}" if isinstance(reason, str) and reason and reason != REDACTED else ""
    )


def _state(args: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    what = [f"{f}={_short(args[f])}" for f in _STATE_FIELDS if args.get(f) is not None]
    return f"set {', '.join(what) or 'the state'} of {_records(_number(metrics, 'rows'))}"


def _compacted(args: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    return (
        f"compacted {args.get('namespace')}: {_number(metrics, 'files_before') or '–'} files "
        f"into one of {_number(metrics, 'rows') or '–'} rows"
    )


def _materialized(_args: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    dropped = _count(metrics.get("rows_dropped"))
    return (
        f"materialized {_number(metrics, 'columns') or '–'} columns into "
        f"{_records(_number(metrics, 'rows') or '–')}"
        + (f", {dropped:,} dropped" if dropped else "")
    )


_Teller = Callable[[Mapping[str, Any], Mapping[str, Any]], str]
_SENTENCES: Final[dict[str, _Teller]] = {
    "init": lambda _a, _m: "created the dataset",
    "import_rows": _imported,
    "attach": _written,
    "write_overlay_part": _written,
    "tombstone": _deleted,
    "restore": lambda _a, m: f"restored {_records(_number(m, 'rows'))}",
    "state_set": _state,
    "state_clear": lambda _a, m: f"cleared the state of {_records(_number(m, 'rows'))}",
    "snapshot": lambda _a, m: f"took a snapshot of {_records(_number(m, 'rows') or '–')}",
    "registry_freeze": lambda _a, _m: "froze the registry",
    "compact_overlay": _compacted,
    "materialize": _materialized,
    "recovered": lambda _a, _m: "finished what a stopped process had begun",
}
