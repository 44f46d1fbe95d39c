"""A process of its own that feeds inputs to parsers and says how each ended.

It may be killed, or kill itself, at any input: what it is at stands in a shared page of memory.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import resource
import shutil
import struct
import sys
import time
import traceback
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path

SECONDS, BYTES = 2.0, 500 << 20
#: Room for what is mapped and not used; beyond it an allocation fails instead of the machine.
ADDRESS_SPACE = 4 << 30
PAGE = struct.Struct("<qd")


def reset_peak() -> int:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) << 10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


class Lab:
    """One folder, and the target that works in it."""

    def __init__(self, folder: Path) -> None:
        from tests.fuzz.targets import Place

        self.place = Place(folder)

    def try_one(self, target, data: bytes) -> tuple[str, str]:
        """Run one input; returns (how it ended, more about it)."""
        from usr_nb.errors import SequencesError

        if target.prepare is not None:
            target.prepare(self.place, data)
        before = self.place.state()
        base, clock, cpu = reset_peak(), time.perf_counter(), time.process_time()
        try:
            target.run(self.place, data)
            how, why = "result", ""
        except SequencesError as error:
            how, why = "typed", type(error).__name__
            if "\nTraceback" in str(error) or len(str(error)) > 20_000:
                how, why = "unbounded-message", str(len(str(error)))
        except Exception as error:  # noqa: BLE001 - anything else is what is looked for
            frames = [
                f for f in traceback.extract_tb(error.__traceback__) if "/usr_nb/" in f.filename
            ]
            at = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
            how, why = "untyped", f"{type(error).__name__} at {at}: {str(error)[:120]}"
        # Threads count several times in one, waiting for others in the other.
        spent = min(time.perf_counter() - clock, time.process_time() - cpu)
        grown = peak() - base
        if spent > SECONDS:
            return "slow", f"{spent:.1f} s, then {how} {why}"
        if grown > BYTES:
            return "fat", f"{grown >> 20} MB, then {how} {why}"
        if how == "typed" or not target.writes:
            after = self.place.state()
            changed = sorted(k for k in {*before, *after} if before.get(k) != after.get(k))
            if changed:
                self.place.restore()
                return "changed", f"{how} {why}: {[Path(c).name for c in changed][:5]}"
        else:
            beside = {k: v for k, v in before.items() if not k.startswith(str(self.place.root))}
            now = self.place.state()
            if any(now.get(k) != v for k, v in beside.items() if "victim" in k):
                return "changed", "a file beside the root"
            self.place.restore()
        return how, why


def built(target, dice, good) -> bytes:
    """Return one input."""
    from tests.fuzz import mutate

    if target.damage is not None:
        return target.damage(dice, good)
    return mutate.make(dice, good, binary=target.binary, footer=target.footer)


def run(job: dict, page: mmap.mmap) -> dict:
    """Run a range of inputs of one target."""
    from tests.fuzz import mutate
    from tests.fuzz.targets import find

    target = find(job["target"])
    good = list(target.seeds())
    folder = Path(job["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lab = Lab(folder)
    ends: Counter[str] = Counter()
    faults = []
    longest = 0.0
    for number in range(job["start"], job["stop"]):
        dice = mutate.pick(job["seed"], target.name, number)
        data = built(target, dice, good)
        clock = time.monotonic()
        # Not pack_into, which writes zeros first: who looks just then would see them.
        page[:] = PAGE.pack(number, clock)
        how, why = lab.try_one(target, data)
        longest = max(longest, time.monotonic() - clock)
        ends[how] += 1
        if how not in ("typed", "result"):
            faults.append({"number": number, "how": how, "why": why})
        page[:] = PAGE.pack(number + 1, time.monotonic())
        if len(faults) >= job["enough"]:
            break
    shutil.rmtree(folder, ignore_errors=True)
    return {"ends": dict(ends), "faults": faults, "longest": longest, "next": number + 1}


def main(path: str) -> None:
    warnings.simplefilter("ignore")
    with Path(path).open("r+b") as f:
        page = mmap.mmap(f.fileno(), PAGE.size)
    from tests.fuzz import targets  # noqa: F401 - what is imported now is not counted later

    used = (
        int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        if Path("/proc/self/statm").exists()
        else 0
    )
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, used + ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(run(json.loads(line), page)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
