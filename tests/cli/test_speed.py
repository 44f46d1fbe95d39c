"""Commands against importing pyarrow.parquet, in the same run.

Processor time, the least of several runs: wall time says more about the machine's other work.
Compiled modules are kept, as where usr is installed; the first run makes them.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

RUNS = 5
USR = ["-m", "usr_nb.cli.main"]


@pytest.fixture(scope="module", autouse=True)
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


UNIT = ("-c", "import pyarrow.parquet")


def ratios(*commands: Sequence[str]) -> list[float]:
    """Return how many times as long as the unit each command takes.

    All are run in turn, so that a busy moment of the machine meets each of them.
    """
    least = [float("inf")] * (len(commands) + 1)
    for _ in range(RUNS):
        for i, argv in enumerate([UNIT, *([*USR, *c] for c in commands)]):
            least[i] = min(least[i], seconds(*argv))
    return [t / least[0] for t in least[1:]]


def seconds(*argv: str) -> float:
    """Return the processor time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *argv], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(after[:2]) - sum(before[:2])


def test_ls_and_help_start_fast(root: Path):
    for i in range(48):
        shutil.copytree(root / "lab" / "other", root / f"ns{i % 5}" / f"d{i}")
    listing, helping = ratios(["ls", "--root", str(root), "--format", "json"], ["--help"])
    assert listing <= 1.3
    assert helping <= 0.8


def test_looking_at_records_starts_fast(root: Path):
    looks = [["head", "demo"], ["grep", "demo", "--pattern", "TTGACA"],
             ["get", "demo", "--id", "93664019"], ["info", "demo"]]  # fmt: skip
    found = ratios(*([*argv, "--root", str(root)] for argv in looks))
    # About 2.3, on a busy machine 2.5; the verbs of Dataset load what they need when called,
    # pandas would add 1.5.
    assert max(found) <= 3.0, found


@pytest.mark.parametrize(
    "argv",
    [["head", "demo"], ["grep", "demo", "--pattern", "A"], ["get", "demo", "--id", "93664019"],
     ["cols", "demo"], ["info", "demo"], ["describe", "demo"], ["validate", "demo"],
     ["state", "get", "demo", "--id", "93664019"], ["snapshot", "demo"]],
)  # fmt: skip
def test_commands_load_no_pandas(root: Path, argv: list[str]):
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('pandas' in sys.modules, file=sys.stderr))\n"
        f"sys.argv = {['usr', *argv, '--root', str(root)]!r}\n"
        "from usr_nb.cli.main import main\nsys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "False"
