"""Runs targets in a process that may die, and counts that as one more way to end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import mutate
from tests.fuzz.worker import PAGE, built

REPO = Path(__file__).resolve().parents[2]
#: Far above the limit that is asked of a parser: what does not come back at all.
HANG_S = 20.0
START_S = 90.0
CHUNK = 500
ENOUGH = 40


@dataclass
class Outcome:
    """How the inputs of one target ended."""

    target: str
    ends: Counter[str] = field(default_factory=Counter)
    faults: list[dict] = field(default_factory=list)
    longest: float = 0.0
    seconds: float = 0.0

    @property
    def inputs(self) -> int:
        return sum(self.ends.values())

    def text(self) -> str:
        ends = ", ".join(f"{k} {n:,}" for k, n in sorted(self.ends.items()))
        lines = [f"{self.target}: {self.inputs:,} inputs in {self.seconds:.1f} s ({ends})"]
        seen: Counter[str] = Counter()
        for f in self.faults:
            key = f"{f['how']}: {f['why'][:90]}"
            seen[key] += 1
            if seen[key] == 1:
                lines.append(f"  #{f['number']} {f['how']}: {f['why']}  {f.get('saved', '')}")
        return "\n".join(lines)


class Pool:
    """One worker at a time; a dead one is replaced."""

    def __init__(self, seed: int, save: Path | None = None) -> None:
        self.seed = seed
        shm = Path("/dev/shm")
        place = shm if shm.is_dir() and os.access(shm, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="usr-fuzz-", dir=place))
        self.save = save or Path(tempfile.gettempdir()) / "usr-fuzz-found"
        self.page = self.folder / "page"
        self.page.write_bytes(bytes(PAGE.size))
        self.child: subprocess.Popen[str] | None = None
        self.err = self.folder / "stderr"

    def close(self) -> None:
        self._end()
        import shutil

        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            for pipe in (self.child.stdin, self.child.stdout):
                if pipe is not None:
                    pipe.close()
            self.child = None

    def _start(self) -> None:
        with self.err.open("w") as err:
            self.child = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.worker", str(self.page)],
                cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err, text=True,
                env={**os.environ, "TMPDIR": str(self.folder),
                     "ARROW_DEFAULT_MEMORY_POOL": "system"},
            )  # fmt: skip
        if self._answer(START_S) != "ready":
            raise RuntimeError(f"the fuzz worker does not start: {self.err.read_text()[-2000:]}")

    def _answer(self, limit: float) -> str | None:
        """Return a line of the worker; None if it died or hung."""
        assert self.child is not None
        assert self.child.stdout is not None
        started = time.monotonic()
        while True:
            if select.select([self.child.stdout], [], [], 0.2)[0]:
                line = self.child.stdout.readline()
                return line.strip() or None
            _, at = self._at()
            if time.monotonic() - max(at, started) > limit:
                return None

    def _at(self) -> tuple[int, float]:
        return PAGE.unpack(self.page.read_bytes())

    def run(self, target: str, inputs: int, first: int = 0) -> Outcome:
        """Feed `inputs` inputs to a target."""
        out = Outcome(target)
        started = time.monotonic()
        at, stop = first, first + inputs
        while at < stop and len(out.faults) < ENOUGH:
            if self.child is None:
                self._start()
            end = min(stop, at + CHUNK)
            self.page.write_bytes(PAGE.pack(at, time.monotonic()))
            job = {"target": target, "seed": self.seed, "start": at, "stop": end,
                   "folder": str(self.folder / "work"), "enough": ENOUGH}  # fmt: skip
            assert self.child is not None
            assert self.child.stdin is not None
            try:
                self.child.stdin.write(json.dumps(job) + "\n")
                self.child.stdin.flush()
                line = self._answer(HANG_S)
            except BrokenPipeError:
                line = None
            if line is None:
                at = self._died(out, at)
                continue
            got = json.loads(line)
            out.ends.update(got["ends"])
            out.longest = max(out.longest, got["longest"])
            out.faults += [self._kept(target, f) for f in got["faults"]]
            at = got["next"]
        out.seconds = time.monotonic() - started
        return out

    def _died(self, out: Outcome, start: int) -> int:
        number, _ = self._at()
        assert self.child is not None
        try:
            code = self.child.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            code = None
        self._end()
        how = "hang" if code is None else "crash"
        if code is None:
            why = f"no answer in {HANG_S:.0f} s"
        else:
            name = signal.Signals(-code).name if code < 0 else f"exit {code}"
            said = [s for s in self.err.read_text(errors="replace").splitlines() if s.strip()]
            why = f"{name}: {' | '.join(said[:3])[:200]}"
        # What ended well before it is lost with the process.
        out.ends["result-or-typed"] += max(0, number - start)
        out.ends[how] += 1
        out.faults.append(self._kept(out.target, {"number": number, "how": how, "why": why}))
        return number + 1

    def _kept(self, target: str, fault: dict) -> dict:
        self.save.mkdir(parents=True, exist_ok=True)
        path = self.save / f"{target}-{self.seed}-{fault['number']}"
        path.write_bytes(build(target, self.seed, fault["number"]))
        return {**fault, "saved": str(path)}


def build(target: str, seed: int, number: int) -> bytes:
    """Return an input again."""
    from tests.fuzz.targets import find

    t = find(target)
    dice = mutate.pick(seed, target, number)
    return built(t, dice, list(t.seeds()))
