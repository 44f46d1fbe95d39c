"""The panel *materialize*: overlays and parts, what each column would become, compaction."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar, Final

from usr_nb.contract.names import TOMBSTONE_NS
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.plans.plan import Plan
from usr_nb.dataset.plans.rewrites import CompactPlan, MaterializePlan
from usr_nb.dataset.values import plain
from usr_nb.errors import ValidationError
from usr_nb.widgets.base import front_end
from usr_nb.widgets.messages import (
    COLUMNS,
    Answer,
    Args,
    Choice,
    Flag,
    Kind,
    Operations,
    Records,
    Text,
)
from usr_nb.widgets.writing import WRITING, WritingPanel, as_answer

CHOICES: Final[dict[str, Kind]] = {
    "namespaces": Records({"name": Text(most=200)}, most=COLUMNS, default=[]),
    "overlays": Choice(("keep", "archive", "drop"), default="keep"),
    "snapshot": Flag(default=True),
    "drop_deleted": Flag(default=False),
    "reason": Text(default=""),
    "typed": Text(most=400, default=""),
}


class MaterializePanel(WritingPanel):
    """Writing overlay values into the base, or many parts into one, looked at first.

    Parameters
    ----------
    ds : Dataset
        The dataset.
    """

    _esm, _css = front_end("materialize")
    operations: ClassVar[Operations] = {
        **WRITING,
        "place": {},
        "plan": CHOICES,
        "compact": {"namespace": Text(most=200), "single_file": Flag(default=False),
                    "reason": Text(default="")},
    }  # fmt: skip

    def __init__(self, ds: Dataset) -> None:
        super().__init__(ds, summary=_summary(ds))

    # Operations -------------------------------------------------------------------------------

    def on_place(self, _args: Args) -> Answer:
        """Say which overlays there are."""
        info = self._ds.info()
        overlays = [
            {"name": o.namespace, "parts": o.parts, "bytes": o.size_bytes, "rows": o.rows,
             "key": o.key}
            for o in self._ds.list_overlays()
            if o.namespace != TOMBSTONE_NS
        ]  # fmt: skip
        return Answer({
            "dataset": self._ds.name, "root": str(self._ds.root), "rows": info.rows,
            "deleted": info.rows - info.rows_live, "overlays": overlays,
        })  # fmt: skip

    def on_plan(self, args: Args) -> Answer:
        """Plan a materialize with these choices."""
        self._plan = None
        return Answer(as_answer(lambda: self._planned(args)))

    def _planned(self, args: Args) -> dict[str, Any]:
        names = [n["name"] for n in args["namespaces"]]
        if not names and not args["drop_deleted"]:
            raise ValidationError("No overlay is chosen", hint="Tick at least one.")
        keep, archive = args["overlays"] != "drop", args["overlays"] == "archive"
        drops = not keep or args["drop_deleted"]
        reason = args["reason"].strip() or "materialized from a panel"
        plan = self._ds.plan_materialize(
            names, keep, archive, args["drop_deleted"],
            snapshot_before=args["snapshot"], reason=reason,
        )  # fmt: skip
        given = [f"{names!r}", *(["keep_overlays=False"] if not keep else []),
                 *(["archive_overlays=True"] if archive else []),
                 *(["drop_deleted=True"] if args["drop_deleted"] else []),
                 *(["snapshot_before=True"] if args["snapshot"] else [])]  # fmt: skip
        python = f"ds.plan_materialize({', '.join(given)}).apply()"
        told = self.propose(plan, python) | _shown(plan) | {"needs": ""}
        if drops and args["typed"].strip() != self._ds.name:
            # Shown whole, and not to be confirmed by a slip of the finger.
            self._plan = None
            told |= {"ready": False, "needs": self._ds.name}
        return told

    def on_compact(self, args: Args) -> Answer:
        """Plan a compaction."""
        self._plan = None

        def make() -> dict[str, Any]:
            ns, single = args["namespace"], args["single_file"]
            reason = args["reason"].strip() or "compacted from a panel"
            plan = self._ds.plan_compact(ns, single_file=single, reason=reason)
            python = f"ds.plan_compact({ns!r}{', single_file=True' if single else ''}).apply()"
            return self.propose(plan, python) | _shown(plan)

        return Answer(as_answer(make))


def _shown(plan: Plan) -> dict[str, Any]:
    if isinstance(plan, MaterializePlan):
        columns = [
            {"name": c.name, "type": c.type, "new": c.new, "values": c.values,
             "changed": c.changed,
             "examples": [{"id": e.id, "before": str(plain(e.before))[:40],
                           "after": str(plain(e.after))[:40]} for e in c.examples[:3]]}
            for c in plan.columns[:COLUMNS]
        ]  # fmt: skip
        return {"rows": plan.rows, "dropped": plan.dropped, "columns": columns,
                "overlays": [asdict(o) for o in plan.overlays]}  # fmt: skip
    assert isinstance(plan, CompactPlan)  # noqa: S101 - there is no third kind
    return {"rows": plan.rows, "parts": plan.parts, "bytes": plan.bytes,
            "held": list(plan.columns)}  # fmt: skip


def _summary(ds: Dataset) -> str:
    lines = [f"{ds.name}: overlays that could be written into the base"]
    lines += [f"{o.namespace}: {o.parts:,} files" for o in ds.list_overlays()]
    return "\n".join(lines)
