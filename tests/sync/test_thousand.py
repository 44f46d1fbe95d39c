"""A dataset of 1,000 parts over a real sshd: one more part is one file, and costs little."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_process import USR, env
from tests.sync.meet import IDS, NAME, Bed, files_of, part
from usr_nb import Dataset

pytestmark = pytest.mark.needs("rsync", "sshd")
PARTS = 1000


def stamps(ds: Dataset) -> dict[str, tuple[int, int]]:
    """Return what tells whether a file was written: path to inode and time."""
    return {p: ((ds.dir / p).stat().st_ino, (ds.dir / p).stat().st_mtime_ns)
            for p in files_of(ds.dir)}  # fmt: skip


def many_parts(ds: Dataset, count: int) -> None:
    """Lay parts and their events, each like the first, as `count` jobs of a cluster would."""
    ds.write_overlay_part("m", part({0: 1.0}))
    first = max(ds.dir.glob("_derived/m/part-*.parquet"))
    line = ds.events_path.read_bytes().splitlines()[-1]
    operation = json.loads(line)["artifacts"]["operation_id"]
    data, lines = first.read_bytes(), []
    for n in range(count - 1):
        name = f"part-20250101T{n:012d}Z-{n:032x}.parquet"
        (first.parent / name).write_bytes(data)
        told = line.replace(first.name.encode(), name.encode())
        lines.append(told.replace(operation.encode(), f"{operation[:-12]}{n:012x}".encode()))
    with ds.events_path.open("ab") as f:
        f.write(b"".join(told + b"\n" for told in lines))


def bare_rsync(bed: Bed, folder: Path) -> None:
    """What one would do without this package, between the same trees."""
    remote = bed.remote
    key = os.environ[str(remote.ssh_key_env)]
    shell = f"ssh -o BatchMode=yes -i {key} -o IdentitiesOnly=yes -p {remote.port} -l {remote.user}"
    there = f"{remote.host}:{remote.base_dir}/{NAME}/"
    subprocess.run(["rsync", "-a", "-e", shell, there, f"{folder}/"], check=True)


def by_process(bed: Bed) -> dict[str, Any]:
    """Pull by the real command, the start of Python included."""
    argv = [*USR, "--root", bed.folder / "here", "pull", NAME, bed.remote.name, "-y"]
    done = subprocess.run(
        [*map(str, argv), "--format", "json"], env=env(), check=True, capture_output=True
    )
    return dict(json.loads(done.stdout)["data"])


def in_this_process(bed: Bed) -> dict[str, Any]:
    return bed.sync("pull")


def work_s() -> float:
    """Seconds of work of this process and its children: what else the machine does is not in it."""
    found = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(f.ru_utime + f.ru_stime for f in found)


#: By the clock, the start of Python included, only where the machine does nothing else.
WAYS = [
    (in_this_process, work_s),
    pytest.param(by_process, time.perf_counter, marks=pytest.mark.nightly),
]


@pytest.mark.parametrize(("pull", "clock"), WAYS)
def test_SYN_3_one_part_of_a_thousand_moves_one_file(
    pull: Callable[[Bed], dict[str, Any]], clock: Callable[[], float], over_sshd: Bed
) -> None:
    bed = over_sshd
    many_parts(bed.there, PARTS)
    bed.sync("pull")
    bare_rsync(bed, bed.folder / "bare")
    before = stamps(bed.here)
    assert bed.sync("pull")["operation_id"] is None
    assert stamps(bed.here) == before, "an unchanged dataset: nothing moves, nothing is written"
    took, bare = [], []
    for n in range(4):
        bed.there.write_overlay_part("m", part({0: -float(n)}))
        begun = clock()
        done = pull(bed)
        took.append(clock() - begun)
        begun = clock()
        bare_rsync(bed, bed.folder / "bare")
        bare.append(clock() - begun)
        after = stamps(bed.here)
        new = sorted(after.keys() - before.keys())
        assert len(new) == 1
        assert done["bytes_moved"] == (bed.here.dir / new[0]).stat().st_size
        assert (done["files_added"], done["files_replaced"], done["events_added"]) == (1, 0, 1)
        changed = {p for p in before if after[p] != before[p]}
        assert changed == {".events.log", "meta.md"}
        before = after
    assert bed.here.get_table(IDS[0]).column("m__x").to_pylist() == [-3.0]
    print(f"a pull took {min(took):.2f} s, rsync -a alone {min(bare):.2f} s")
    assert min(took) <= 2 * min(bare) + 1.5, (took, bare)
