"""The face of sync: look at both copies, see what each direction would do, do it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usr_nb.contract.events import Fingerprint
from usr_nb.contract.names import check_dataset_id
from usr_nb.contract.progress import Progress, reporting
from usr_nb.contract.registry import Registry, parse_registry
from usr_nb.errors import (
    ConflictError,
    SequencesError,
    StalePlanError,
    StorageError,
    ValidationError,
    some,
)
from usr_nb.storage import door, lock, slots
from usr_nb.storage.layout import Layout
from usr_nb.sync import telling
from usr_nb.sync.asking import PUSHING, begun_plan
from usr_nb.sync.common import COMMON_FILE, COPIED, encode_common
from usr_nb.sync.deliver import deliver, finish
from usr_nb.sync.look import Here, Look, Options, look, transfer
from usr_nb.sync.model import Conflict, Direction, Plan, SyncReceipt
from usr_nb.sync.receive import Receiver, receive
from usr_nb.sync.remotes import Remote, get
from usr_nb.sync.ssh import Session
from usr_nb.sync.summary import State, diff_dict, panel_dict, plan_lines, state_of

__all__ = ["SyncPlan", "sync_plan"]


def sync_plan(here: Here, remote: str, options: Options) -> SyncPlan:
    """Look at both copies; see :meth:`usr_nb.Dataset.sync_plan`."""
    check_dataset_id(here.name)
    found = get(remote)
    with Session(found) as session:
        return SyncPlan(here, found, options, look(session, here, options))


@dataclass(frozen=True, repr=False)
class SyncPlan:
    """What a pull and a push of one dataset would do; nothing has been written.

    Attributes
    ----------
    here : Here
        This copy.
    remote : Remote
        The other one.
    options : Options
        What was chosen.
    found : Look
        What both sides held, and the plan of each direction.
    token : str or None
        Names the plan that is applied; the event carries it in ``args.plan``.
    """

    here: Here
    remote: Remote
    options: Options
    found: Look
    token: str | None = None

    @property
    def state(self) -> State:
        """``same``, ``ahead``, ``behind``, ``diverged``, ``only_here`` or ``only_there``."""
        found = self.found
        return state_of(found.pull, found.push, local=found.here, remote=found.there)

    def conflicts(self, direction: Direction) -> tuple[Conflict, ...]:
        """Return what a direction cannot decide by itself."""
        return self.found.plan(direction).conflicts

    def diff(self) -> dict[str, Any]:
        """Return the difference of both copies as JSON-able values (SYN-3)."""
        found = self.found
        return diff_dict(
            dataset=self.here.name, pull=found.pull, push=found.push,
            local=found.here, remote=found.there,
            local_log=found.facts.receiver_log, remote_log=found.facts.sender_log,
            verify_mode=self.options.verify, verify_notes=found.notes,
        )  # fmt: skip

    def as_plain(self) -> dict[str, Any]:
        """Return both directions as JSON-able values, for a panel or another program.

        Returns
        -------
        dict
            ``dataset``, ``remote``, ``state``, ``notes`` (how files were compared, where that is
            less than by digest), and under ``pull`` and ``push`` what each would do: see
            :func:`usr_nb.sync.summary.panel_dict`. A choice is carried out by planning anew with
            its ``prefer``.
        """
        found = self.found
        return {
            "dataset": self.here.name,
            "remote": self.remote.name,
            "state": self.state,
            "notes": list(found.notes),
            "pull": panel_dict(found.pull),
            "push": panel_dict(found.push),
        }

    def __repr__(self) -> str:
        """Return what a notebook is to show of a plan: its summary."""
        return f"<SyncPlan: {self.summary()}>"

    def summary(self, direction: Direction | None = None) -> str:
        """Return what would be done, for people: of one direction, or of both."""
        if direction is not None:
            return "\n".join(plan_lines(self.found.plan(direction)))
        parts = []
        for one, title in (("pull", "usr pull would:"), ("push", "usr push would:")):
            lines = plan_lines(self.found.plan("pull" if one == "pull" else "push"))
            parts += [title, *(f"  {line}" for line in lines or ["do nothing"])]
        return "\n".join(parts)

    def apply(
        self,
        direction: Direction,
        *,
        tries: int = 3,
        progress: Callable[[Progress], object] | None = None,
    ) -> SyncReceipt:
        """Do what the plan of one direction says.

        Parameters
        ----------
        direction : {"pull", "push"}
            A pull changes this copy, a push the remote's.
        tries : int
            How often to look anew if one side has changed since; with 1 a stale plan is an error.
        progress : callable, optional
            Called with :class:`usr_nb.Progress`; if it raises, the sync is cancelled, and
            what was transferred is used by the next.

        Returns
        -------
        SyncReceipt

        Raises
        ------
        ConflictError
            If both sides changed what cannot be united, and nobody chose. Nothing was written.
        StalePlanError
            If one side has changed since the plan was made, again and again.
        RemoteUnavailableError, TransferError, VerificationError
            Nothing was installed; the next sync goes on from what is there.
        """
        if direction not in ("pull", "push"):
            raise ValidationError(f"direction is 'pull' or 'push', not {str(direction)[:40]!r}")
        listening = reporting(progress) if progress is not None else nullcontext()
        with listening, Session(self.remote) as session:
            found = self.found
            for left in range(tries - 1, -1, -1):
                _refuse(found.plan(direction), self.remote)
                try:
                    return self._apply(session, found, direction)
                except StalePlanError:
                    if not left:
                        raise
                    found = look(session, self.here, self.options)
        raise AssertionError

    def _apply(self, session: Session, found: Look, direction: Direction) -> SyncReceipt:
        plan = found.plan(direction)
        if plan.moves_nothing:
            self._finish(session, found, direction)
            return telling.receipt(plan, None)
        if direction == "push":
            door.make_dirs(self._pushing.parent)
            door.write_hint(self._pushing, (self.token or "").encode())
            done = deliver(session, self.here, found, self._words(plan), grow=_grown(plan))
            try:
                self._remember(plan, done.operation_id, self.token)
                door.unlink(self._pushing)
            except (SequencesError, OSError) as error:
                # The remote has it. `pushing` stands, so the next sync remembers the meeting.
                warnings.warn(
                    f"The push is committed at {self.remote.name}; this copy cannot remember it "
                    f"yet: {error}", slots.CommittedWarning, stacklevel=3,
                )  # fmt: skip
            return done
        return self._pull(session, found)

    @property
    def _pushing(self) -> Path:
        """Stands there while a push is under way."""
        return self.here.kept(self.remote.name) / PUSHING

    def _finish(self, session: Session, found: Look, direction: Direction) -> None:
        """Take away what a sync left that was cut after its commit: all else is done."""
        if direction == "pull":
            if found.here.pending is not None:
                with lock.held(self.here.dir, action="pull"):
                    slots.settle(Layout(self.here.dir))
            door.remove_tree(self.here.kept(self.remote.name) / "incoming")
        elif self._pushing.exists():
            finish(session, self.here, found)
            self._remember(found.push, None, begun_plan(self._pushing))
            door.unlink(self._pushing)

    def _pull(self, session: Session, found: Look) -> SyncReceipt:
        plan = found.pull
        incoming = self.here.kept(self.remote.name) / "incoming"
        door.make_dirs(incoming)
        # A pull that died late has installed these: rsync must not touch them under this name.
        for path in incoming.rglob("*"):
            if path.is_file() and path.stat().st_nlink > 1:
                door.unlink(path)
        wanted = [s.source for s in plan.steps if s.kind != "save" and s.source is not None]
        if wanted:
            transfer(session, self.here, wanted, incoming, basis=True)
        kept = telling.kept_digests(plan, found.here)
        receiver = Receiver(
            Layout(self.here.dir), self.here.root, incoming, self._bookkeeping(plan), kept
        )
        done = receive(plan, receiver, self._words(plan), grow=_grown(plan))
        # The pull is done; what cannot be removed now is in nobody's way, and the next removes it.
        with suppress(StorageError, OSError):
            door.remove_tree(incoming)
        return done

    def _words(self, plan: Plan) -> Callable[[Fingerprint, str | None], telling.Wording]:
        o = self.options
        chosen: dict[str, Any] = {"verify": o.verify, "prefer": o.prefer, "delete": o.delete,
                  "primary_only": o.primary_only, "skip_snapshots": o.skip_snapshots}  # fmt: skip
        chosen |= {"plan": self.token} if self.token else {}
        root = str(self.here.root) if plan.direction == "pull" else self.remote.base_dir

        def words(fingerprint: Fingerprint, stamp: str | None) -> telling.Wording:
            return telling.Wording(
                self.here.name, root, self.remote.name, chosen, fingerprint, stamp
            )

        return words

    def _bookkeeping(
        self, plan: Plan, operation: str | None = None, token: str | None = None
    ) -> Mapping[str, bytes]:
        """Return what is remembered of this meeting, by path in the dataset."""
        folder = self.here.kept(self.remote.name).relative_to(self.here.dir).as_posix()
        files = {
            COMMON_FILE: encode_common(
                plan.common, direction=plan.direction, operation_id=operation, plan=token
            )
        }
        files |= {n: plan.common.copies[p] for p, n in COPIED.items() if p in plan.common.copies}
        return {f"{folder}/{name}": data for name, data in files.items()}

    def _remember(self, plan: Plan, operation: str | None, token: str | None) -> None:
        for path, data in self._bookkeeping(plan, operation, token).items():
            with door.replaced_file(self.here.dir / path) as sink:
                sink.write(data)


def _refuse(plan: Plan, remote: Remote) -> None:
    if not plan.conflicts:
        return
    choices = [c for conflict in plan.conflicts for c in conflict.choices]
    count = len(plan.conflicts)
    listed = "".join(f"\n  {choice}" for choice in dict.fromkeys(choices))
    raise ConflictError(
        f"{count} conflict{'' if count == 1 else 's'} with {remote.name}: "
        f"{some([c.what for c in plan.conflicts], 5)}",
        hint=f"Nothing was changed. {'Choose:' if listed else ''}{listed}".rstrip(),
    )


def _grown(plan: Plan) -> Callable[[Registry], Registry]:
    """Return the function that adds a plan's namespaces to a registry."""

    def grow(registry: Registry) -> Registry:
        spaces = {**registry.as_plain()["namespaces"], **plan.registry}
        return parse_registry({"namespaces": spaces}, where="the merged registry")

    return grow
