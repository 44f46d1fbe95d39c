"""The panel *curate*: records one at a time by keyboard, or all that a filter keeps by a plan."""

from __future__ import annotations

import re
from dataclasses import asdict
from threading import Lock
from typing import Any, ClassVar, Final

from usr_nb.analysis.provenance import why_lines
from usr_nb.analysis.review import MAX_RECORDS, Decision, Review, Saved
from usr_nb.contract.records import QC_STATUS, SPLIT
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.values import plain
from usr_nb.errors import UsedPlanError, ValidationError
from usr_nb.filter.kept import as_filter
from usr_nb.filter.tree import Filter
from usr_nb.widgets.base import front_end
from usr_nb.widgets.follow import follow, source_of
from usr_nb.widgets.jobs import Task
from usr_nb.widgets.messages import (
    BATCH,
    COLUMNS,
    TEXT_LENGTH,
    Answer,
    Args,
    Choice,
    Kind,
    Operations,
    Records,
    Text,
    Whole,
)
from usr_nb.widgets.writing import TOKEN, WRITING, WritingPanel, as_answer, failed

_TOKEN: Final = re.compile(r"[0-9a-f]{16}\Z", re.ASCII)
FIELDS: Final = ("qc_status", "masked", "split")
WHAT: Final[dict[str, Kind]] = {
    "what": Choice(("qc_status", "masked", "split", "clear", "delete", "restore")),
    "value": Text(most=40, default=""),
    "id": Text(most=64, default=""),
    "reason": Text(default=""),
}


class CuratePanel(WritingPanel):
    """Pass, fail, warn, mask, split and delete, with a reason and an undo.

    Parameters
    ----------
    ds : Dataset
        The dataset.
    where : Filter, str, or filter panel, optional
        Which records are reviewed.
    columns : sequence of str
        Derived columns to show beside each record.
    """

    _esm, _css = front_end("curate")
    operations: ClassVar[Operations] = {
        **WRITING,
        "place": {},
        "filter": {"line": Text(most=TEXT_LENGTH)},
        "page": {"start": Whole(), "count": Whole(low=1, high=MAX_RECORDS),
                 "columns": Records({"name": Text()}, most=COLUMNS, default=[])},
        "find": {"text": Text(most=100)},
        "tally": {},
        "why": {"id": Text(most=64), "column": Text()},
        "save": {
            "token": TOKEN,
            "decisions": Records(
                {"id": Text(most=64), "field": Choice(FIELDS), "value": Text(most=40)},
                most=4 * BATCH,
            ),
            "reason": Text(default=""), "undoes": Text(default=""),
        },
        "saved": {"token": TOKEN},
        "plan": WHAT,
    }  # fmt: skip

    def __init__(self, ds: Dataset, *, where: object = None, columns: tuple[str, ...] = ()) -> None:
        self._source = source_of(where)
        start = self._source.filter if self._source is not None else None
        self._review = Review(ds, start)
        self._columns = columns
        self._saves: dict[str, tuple[Task[Saved], Review]] = {}
        self._one_by_one = Lock()
        self._version = 0
        super().__init__(ds, summary=f"{ds.name}: {self._review.total:,} records to review")
        follow(self._source, self, CuratePanel._filtered)

    def _filtered(self) -> None:
        if self._source is not None:
            self._review_of(self._source.filter)
            self.tell_changed(version=self._version)

    def _review_of(self, where: Filter | None) -> None:
        fresh = Review(self._ds, where)
        self._review.close()
        self._review, self._plan = fresh, None
        self._version += 1

    # Operations -------------------------------------------------------------------------------

    def on_place(self, _args: Args) -> Answer:
        """Say what is reviewed, and what can be shown."""
        self._review.refresh()
        where = self._review.where
        return Answer({
            "dataset": self._ds.name, "root": str(self._ds.root), "total": self._review.total,
            "where": "" if where is None else where.as_line(), "columns": self._review.columns(),
            "shown": [c for c in self._columns if c in self._review.columns()],
            "hash": "" if where is None else where.hash, "version": self._version,
        })  # fmt: skip

    def on_filter(self, args: Args) -> Answer:
        """Review other records; an empty line means all."""
        self._review_of(as_filter(args["line"].strip() or None))
        return self.on_place({})

    def on_page(self, args: Args) -> Answer:
        """Give some records."""
        names = [c["name"] for c in args["columns"]]
        found = self._review.records(args["start"], args["count"], names)
        return Answer({"records": found, "total": self._review.total})

    def on_find(self, args: Args) -> Answer:
        """Say where a record stands."""
        return Answer({"place": self._review.place_of(args["text"])})

    def on_tally(self, _args: Args) -> Answer:
        """Count the states of those that are reviewed."""
        return Answer(asdict(self._review.tally()))

    def on_why(self, args: Args) -> Answer:
        """Say where a value comes from."""
        return Answer({"text": "\n".join(why_lines(self._ds.why(args["id"], args["column"]))[:8])})

    def on_save(self, args: Args) -> Answer:
        """Begin to save decisions that were made by keyboard: one commit, one event, once.

        A thread does it, so that the next record can be shown meanwhile.

        Raises
        ------
        UsedPlanError
            If this batch was saved before.
        """
        token = args["token"]
        if not _TOKEN.match(token):
            raise ValidationError("A batch is named by 16 hexadecimal digits")
        if token in self._saves:
            raise UsedPlanError("These decisions are saved already", hint="Nothing was written.")
        if not args["decisions"]:
            raise ValidationError("There is nothing to save")
        decisions = [
            Decision(d["id"], d["field"], _value(d["field"], d["value"])) for d in args["decisions"]
        ]
        review = self._review

        def work() -> Saved:
            with self._one_by_one:
                saved = review.commit(
                    decisions, reason=args["reason"] or None, undoes=args["undoes"] or None,
                    token=token,
                )  # fmt: skip
                self._done.append(saved.receipt)
                return saved

        self._saves[token] = (Task(work).start(), review)
        return self.on_saved({"token": token})

    def on_saved(self, args: Args) -> Answer:
        """Say whether a batch is in; from then on records are shown as they are with it."""
        if args["token"] not in self._saves:
            raise ValidationError("No such batch was saved here")
        task, review = self._saves[args["token"]]
        if task.error is not None:
            return failed(task.error)
        saved = task.result
        if saved is None:
            return Answer({"state": "running"})
        if review is self._review:
            review.adopt(saved)
            tally = saved.tally
        else:
            # Somebody has chosen other records meanwhile.
            saved.now.stack.close()
            tally = self._review.tally()
        return Answer({
            "state": "done", "operation_id": saved.receipt.operation_id,
            "rows": saved.receipt.counts["rows"], "receipts": len(self._done),
            "tally": asdict(tally),
        })  # fmt: skip

    def on_plan(self, args: Args) -> Answer:
        """Plan what is to be done to one record, or to all that are reviewed."""
        self._plan = None

        def make() -> dict[str, Any]:
            what, value, reason = args["what"], args["value"], args["reason"].strip() or None
            where = self._review.where
            chosen: dict[str, Any] = (
                {"ids": args["id"]} if args["id"]
                else {"where": where if where is not None else "length >= 0"}
            )  # fmt: skip
            given = {"qc_status": value} if what == "qc_status" else (
                {"split": value} if what == "split" else {"masked": value == "true"}
            )  # fmt: skip
            said = ", ".join(f"{k}={_text(v)}" for k, v in chosen.items())
            why = f", reason={reason!r}" if reason else ""
            if what == "delete":
                plan = self._ds.plan_tombstone(reason=reason, **chosen)
                return self.propose(plan, f"ds.plan_tombstone({said}{why}).apply()")
            if what == "restore":
                plan = self._ds.plan_restore(**chosen)
                return self.propose(plan, f"ds.plan_restore({said}).apply()")
            if what == "clear":
                plan = self._ds.plan_state(clear=True, reason=reason, **chosen)
                return self.propose(plan, f"ds.plan_state({said}, clear=True{why}).apply()")
            plan = self._ds.plan_state(reason=reason, **given, **chosen)
            field = ", ".join(f"{k}={v!r}" for k, v in given.items())
            return self.propose(plan, f"ds.plan_state({said}, {field}{why}).apply()")

        return Answer(as_answer(make))


def _value(field: str, text: str) -> Any:
    """Return a value from the wire; empty text unsets."""
    if text == "":
        return None
    words = {"qc_status": QC_STATUS, "split": SPLIT, "masked": ("true", "false")}[field]
    if text not in words:
        raise ValidationError(f"{field} is one of {', '.join(words)}, not {text[:40]!r}")
    return text == "true" if field == "masked" else text


def _text(value: Any) -> str:
    return repr(value.as_line()) if isinstance(value, Filter) else repr(plain(value))
