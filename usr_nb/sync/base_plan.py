"""What becomes of the receiver's base, and which operations the result contains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from usr_nb.errors import some
from usr_nb.storage.layout import RECORDS
from usr_nb.sync.history import Role
from usr_nb.sync.model import Conflict, Entry, Step
from usr_nb.sync.question import Question, known_relation, same_base
from usr_nb.sync.rows import Removals

BaseKind = Literal["none", "add", "equal", "keep", "replace", "unite", "conflict"]
_REMOVALS: dict[BaseKind, Removals] = {
    "add": "sender", "replace": "sender", "equal": "both", "unite": "none",
}  # fmt: skip


@dataclass(frozen=True)
class BaseDecision:
    """How the receiver's base comes out.

    Attributes
    ----------
    kind : str
        ``keep``: the receiver's; ``add``, ``replace``: the sender's; ``equal``: both the same;
        ``unite``: made of both; ``none``: the sender has none; ``conflict``: nobody chose yet.
    contained : frozenset of str
        Operations whose rewriting of the base the result contains.
    """

    kind: BaseKind
    contained: frozenset[str]
    steps: tuple[Step, ...] = ()
    conflicts: tuple[Conflict, ...] = ()

    @property
    def removals(self) -> Removals:
        """On whose side rows are gone for good, if the result lacks them too."""
        return _REMOVALS.get(self.kind, "receiver")


def decide_base(q: Question) -> BaseDecision:
    """Decide about ``records.parquet``; see the table in ``docs/format.md``."""
    s, r, _ = q.entries(RECORDS)
    if s is None or r is None:
        kind: BaseKind = "none" if s is None else "add"
        steps = () if s is None else (_step("add", q, s, None, "the whole base table"),)
        return BaseDecision(kind, _contained(q, kind), steps)
    if same_base(q.history, s, r):
        return _decided(q, "equal", s, r)
    changed = known_relation(q.history, s, r, q.common)
    if changed is not None:
        return _decided(q, "keep" if changed == "receiver" else "replace", s, r)
    return _compared(q, s, r)


def _compared(q: Question, s: Entry, r: Entry) -> BaseDecision:
    relation = q.facts.base
    if relation is None:
        return _conflict(q, s, r, "both changed, and the contents were not compared")
    if relation.kind == "equal":
        return _decided(q, "equal", s, r)
    if relation.kind == "conflict":
        return _conflict(q, s, r, q.named(relation.what))
    dropped = q.history.dropped_rows("sender") ^ q.history.dropped_rows("receiver")
    if dropped:
        ops = q.history.by_identity("base")
        actions = sorted({ops[i].action for i in dropped if i in ops}) or ["an operation"]
        return _conflict(q, s, r, f"rows were removed on one side by {some(actions)}")
    if relation.kind == "unite":
        return _decided(q, "unite", s, r)
    return _decided(q, "keep" if relation.kind == "receiver_has_all" else "replace", s, r)


def _contained(q: Question, kind: BaseKind) -> frozenset[str]:
    sender, receiver = q.history.applied("sender"), q.history.applied("receiver")
    if kind in ("add", "replace"):
        return sender
    if kind == "equal":
        return sender | receiver
    return sender & receiver if kind == "unite" else receiver


def _decided(q: Question, kind: BaseKind, s: Entry, r: Entry) -> BaseDecision:
    steps: tuple[Step, ...] = ()
    if kind == "replace":
        steps = (_step("replace", q, s, r, f"only {q.name('sender')} changed it"),)
    elif kind == "unite":
        rows = q.facts.base.added if q.facts.base is not None else None
        why = "common rows, then new ones of the receiver, then of the sender"
        steps = (Step("merge", RECORDS, "base", source=s, was=r, rows=rows, why=why),)
    return BaseDecision(kind, _contained(q, kind), steps)


def _step(
    kind: Literal["add", "replace"], q: Question, s: Entry, r: Entry | None, why: str
) -> Step:
    rows = q.history.base_rows(s.sha256)
    before = q.history.base_rows(r.sha256) if r is not None else 0
    more = rows - before if rows is not None and before is not None else None
    return Step(kind, RECORDS, "base", source=s, was=r, rows=more, why=why)


def _conflict(q: Question, s: Entry, r: Entry, what: str) -> BaseDecision:
    winner: Role | None = q.winner
    if winner == "receiver":
        kept = Step("beside", q.snapshot, "snapshot", source=s, why="the base that lost")
        return BaseDecision("keep", _contained(q, "keep"), (kept,))
    if winner == "sender":
        saved = Step("save", q.snapshot, "snapshot", source=r, why="the base that lost")
        chosen = _step("replace", q, s, r, "chosen by --prefer")
        return BaseDecision("replace", _contained(q, "replace"), (saved, chosen))
    lost = f"the other base is kept as {q.snapshot}"
    conflict = Conflict(
        RECORDS, "base", f"{RECORDS}: {what}",
        q.choices(sender_lost=lost, receiver_lost=lost),
    )  # fmt: skip
    return BaseDecision("conflict", _contained(q, "keep"), (), (conflict,))
