"""Syncs that are killed at chosen points, by real processes, and what they must leave."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, Self

from tests.crash.oshook import Hook
from tests.crash.workers import context
from tests.sync.meet import IDS, NAME, Bed, Files, Side, check_receiver, part, values
from usr_nb import Dataset, SequencesError

Direction = Literal["pull", "push"]
CUT = Path(__file__).parent / "standin" / "cut"
#: Which call meets its fault, and what it is: see the head of `standin/cut`.
WRAPPER = """\
#!/bin/sh
case " $* " in *" -O "*) exec {real} "$@" ;; esac
printf x >>"$CUT_LOG.calls"
how=count bytes=0
if [ "$(($(wc -c <"$CUT_LOG.calls")))" = "${{CUT_CALL:-0}}" ]; then how=$CUT_HOW bytes=$CUT_BYTES
elif [ -z "${{CUT_MEASURE:-}}" ]; then exec {real} "$@"; fi
exec {python} -SE {cut} "$how" "$bytes" "$CUT_VICTIM" "$CUT_LOG" {real} "$@"
"""


def work_on_both(bed: Bed) -> None:
    """Let both sides do what the other has not seen: all classes of files, and some weight."""
    noise = random.Random(7)
    for ds, n in ((bed.here, 0), (bed.there, 1)):
        for i in range(6):
            ds.write_overlay_part("m", part({i % 3: float(10 * n + i)}))
        ds.add_sequences([f"{'AG'[n] * 9}{x}" for x in "ACGT"], bio_type="dna", alphabet="dna_4")
        ds.tombstone(IDS[n], reason=str(n))
        ds.set_state(IDS[2], **({"masked": True} if n else {"split": "val"}))
        ds.snapshot(f"side{n}")
        (ds.dir / f"weights{n}.bin").write_bytes(noise.randbytes(1_500_000))
        (ds.dir / "notes" / f"of{n}.txt").write_text(f"side {n}\n")
    ds = bed.there
    with ds.maintenance("test"):
        ds.compact_overlay("m")


# The process that is killed ---------------------------------------------------------------------


def sync(root: str, direction: Direction, env: dict[str, str], at: int, out: Connection) -> None:
    """Sync once; at change number `at` of this side's folder the process kills itself (0: never).

    Says the stages it comes to, how many changes it made, and how it ended.
    """
    os.environ.update(env, CUT_VICTIM=str(os.getpid()) if env.get("CUT_KILLS") else "0")
    ds = Dataset.open(Path(root), NAME)
    stages: list[str] = []

    def tell(progress: Any) -> None:
        if not stages or stages[-1] != progress.stage:
            stages.append(progress.stage)
            out.send(("stage", progress.stage))

    def die() -> None:
        out.send(("killed", hook.attempts[-1]))
        os.kill(os.getpid(), signal.SIGKILL)

    hook = Hook(ds.dir, at=at - 1 if at else None, fault=die if at else None)
    try:
        plan = ds.sync_plan(env["CUT_REMOTE"])
        out.send(("stage", "planned"))
        with hook.active():
            plan.apply(direction, progress=tell)
    except SequencesError as error:
        out.send(("error", f"{type(error).__name__}: {error.message}"))
    else:
        out.send(("done", len(hook.attempts)))


@dataclass
class Run:
    """How one sync went."""

    code: int
    stages: list[str] = field(default_factory=list)
    #: The change of this side's folder at which it killed itself.
    change: tuple[str, str] | None = None
    error: str = ""
    changes: int = 0
    #: Of each connection: how, bytes in, bytes out, commands, cut, kind.
    calls: list[tuple[str, int, int, int, int, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Point:
    """Where a sync is killed: in its process, or at a place of one of its connections."""

    how: Literal["process", "in", "out", "bomb"]
    number: int
    call: int = 0
    #: Whether the process dies with the connection.
    both: bool = True


@dataclass
class Drill:
    """One direction between two copies that both worked, killed again and again."""

    bed: Bed
    direction: Direction
    folder: Path
    program: str
    bash: bool = False
    landed: Counter[str] = field(default_factory=Counter)
    kept: Path = field(init=False)
    before: dict[str, Files] = field(init=False)
    values: dict[str, dict[str, Any]] = field(init=False)
    after: dict[str, dict[str, Any]] = field(init=False)
    measured: Run = field(init=False)

    def __post_init__(self) -> None:
        self.kept = self.bed.folder.with_name(f"{self.bed.folder.name}-kept")
        text = WRAPPER.format(real=self.program, python=sys.executable, cut=CUT)
        (self.folder / "bin").mkdir(parents=True)
        (self.folder / "bin/ssh").write_text(text)
        (self.folder / "bin/ssh").chmod(0o755)
        if self.bash:
            (self.folder / "shells").mkdir()
            (self.folder / "shells/sh").symlink_to("/bin/bash")

    def __enter__(self) -> Self:
        self.rehearse()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.kept)

    def run(self, point: Point | None) -> Run:
        """Sync in a process of its own, killed at the point; None measures a whole one."""
        log = self.folder / "calls"
        for name in ("calls", "calls.calls", "calls.commands"):
            (self.folder / name).unlink(missing_ok=True)
        env = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "CUT_LOG": str(log), "CUT_MEASURE": "" if point else "1", "CUT_CALL": "0",
            "CUT_KILLS": "", "CUT_BASH": "1" if self.bash else "",
            "CUT_REMOTE": self.bed.remote.name,
            "USR_REMOTES_PATH": os.environ["USR_REMOTES_PATH"],
            **{k: v for k, v in os.environ.items() if k.startswith(("STANDIN_", "USR_TEST_"))},
        }  # fmt: skip
        if self.bash:
            env["STANDIN_PATH"] = str(self.folder / "shells")
        if point is not None and point.how != "process":
            env |= {"CUT_CALL": str(point.call), "CUT_HOW": point.how}
            env |= {"CUT_BYTES": str(point.number), "CUT_KILLS": "1" if point.both else ""}
        at = point.number if point is not None and point.how == "process" else 0
        ctx = context()
        ctx.set_forkserver_preload(["tests.sync.drills"])
        here, there = ctx.Pipe(duplex=False)
        args = (str(self.bed.folder / "here"), self.direction, env, at, there)
        child = ctx.Process(target=sync, args=args)
        child.start()
        there.close()
        run = Run(0)
        with contextlib.suppress(EOFError):
            while True:
                what, said = here.recv()
                if what == "stage":
                    run.stages.append(said)
                elif what == "killed":
                    run.change = said
                elif what == "error":
                    run.error = said
                else:
                    run.changes = said
        child.join(60)
        assert child.exitcode is not None
        run.code = child.exitcode
        if log.exists():
            for line in log.read_text().splitlines():
                how, *numbers, kind = line.split()
                a, b, c, d = map(int, numbers)
                run.calls.append((how, a, b, c, d, kind))
        return run

    # Points -----------------------------------------------------------------------------------

    def rehearse(self) -> None:
        """Sync once without a fault, from the state that every drill begins with."""
        work_on_both(self.bed)
        self.bed.folder.rename(self.kept)
        self.reset()
        self.before = {s: self.bed.files(s) for s in ("here", "there")}
        self.values = values(self.receiver)
        self.measured = self.run(None)
        assert self.measured.code == 0, self.measured
        assert not self.measured.error, self.measured
        self.after = values(self.receiver)
        assert self.after != self.values

    def reset(self) -> None:
        shutil.rmtree(self.bed.folder, ignore_errors=True)
        shutil.copytree(self.kept, self.bed.folder)

    @property
    def receiver(self) -> Dataset:
        return self.bed.here if self.direction == "pull" else self.bed.there

    def points(self, count: int, seed: int) -> list[Point]:
        """Return where to kill: from the first byte of the transfer to the last change."""
        rng = random.Random(f"{self.direction}/{seed}")
        calls = self.measured.calls
        sizes = [c[1] + c[2] if c[5] == "rsync" else 0 for c in calls]
        main = sizes.index(max(sizes))
        way: Literal["in", "out"] = "out" if self.direction == "pull" else "in"
        scripts = [n for n in range(main + 1, len(calls)) if calls[n][5] == "script"]
        found = []
        for n in range(count):
            lot = (n + rng.random()) / count  # Evenly over the kinds of points.
            both = n % 3 != 0
            if lot < 0.45:
                carried = calls[main][1 if way == "in" else 2]
                found.append(Point(way, rng.randrange(1, carried), main + 1, both))
            elif self.direction == "pull" or lot < 0.5:
                found.append(Point("process", rng.randrange(1, self.measured.changes + 1)))
            elif self.bash:
                call = scripts[-1] if lot < 0.85 else rng.choice(scripts)
                found.append(Point("bomb", rng.randrange(1, calls[call][3]), call + 1, both))
            else:
                call = rng.choice(scripts)
                one: Literal["in", "out"] = rng.choice(["in", "out"])
                carried = calls[call][1 if one == "in" else 2]
                found.append(Point(one, rng.randrange(1, carried), call + 1, both))
        return found

    # What a kill must leave -------------------------------------------------------------------

    def kill(self, point: Point) -> None:
        """Kill a sync, judge what it left, and let a retry finish it."""
        self.reset()
        run = self.run(point)
        killed = point.how == "process" or point.both
        assert run.code == (-signal.SIGKILL if killed else 0), (point, run)
        assert killed or run.error or run.changes, (point, run)
        self.landed[self.where(point, run)] += 1
        mine: Side = "here" if self.direction == "pull" else "there"
        other: Side = "there" if mine == "here" else "here"
        assert values(self.receiver) in (self.values, self.after), (point, run)
        for side in (mine, other):
            self.bed.side(side).validate(strict=True, registry_mode="namespace-either")
        if self.bash:  # Below a real sshd the script may still be under way.
            self.whole(mine, other)
        self.bed.sync(self.direction)
        assert values(self.receiver) == self.after
        self.whole(mine, other)
        self.receiver.validate(strict=True, registry_mode="namespace-either")
        # What a dead push staged under its own name is the next day's work.
        left = [f for f in self.receiver.doctor().findings if f.severity != "note"]
        assert not left, left
        assert not list(self.bed.folder.glob("**/_txn/**/incoming*")), "the transfer is still there"
        assert self.bed.sync(self.direction)["operation_id"] is None, "it was finished"

    def whole(self, mine: Side, other: Side) -> None:
        """See that no file is torn, and none lost, on either side."""
        assert self.bed.files(other) == self.before[other]
        check_receiver(self.before[mine], self.before[other], self.bed.side(mine).dir)

    def where(self, point: Point, run: Run) -> str:
        """Name the place where a kill landed."""
        if point.how == "process":
            assert run.change is not None
            kind, path = run.change
            if "incoming" in path:
                return "clearing" if kind in ("unlink", "rmdir") else "transfer"
            if kind == "link" or not path.startswith("_txn/"):
                return "install"
            return "staging" if path.startswith("_txn/2") else "bookkeeping"
        cuts = [c for c in run.calls if c[4]]
        assert len(cuts) == 1, (point, run)
        assert cuts[0][0] == point.how
        if cuts[0][5] == "rsync":
            return "transfer"
        # Who lost the answer of an install asks whether it was done.
        after = ("asking", "settling", "clearing")
        stage = next(s for s in reversed(run.stages) if s not in after)
        return {"verifying": "staging", "installing": "install"}[stage]
