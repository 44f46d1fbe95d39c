"""Ctrl-C in the middle of long work, and the bar that long work shows: CLI-1, CLI-2.

Real processes get a real SIGINT. Where in the work it hits them is made sure by a pause: the
process stops at the first report of a stage, and says so on a line of its own.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import digests, run
from tests.cli.test_process import env
from usr_nb import Dataset, register_namespace

PAUSED = "PAUSED"
#: usr in a process that pauses when a stage is `part` done (0: as it begins).
SCRIPT = f"""
import os, sys, time
from usr_nb.contract import progress
from usr_nb.cli.main import main
from usr_nb.readers import delimited

delimited._BLOCK = 1 << 16
stage, part, seconds = sys.argv.pop(1), float(sys.argv.pop(1)), float(sys.argv.pop(1))
own = progress._Listener.tell
paused = []

def tell(self, p):
    own(self, p)
    if p.stage == stage and not paused and p.done >= part * (p.total or 0):
        paused.append(p)
        os.write(1, b"{PAUSED}\\n")
        for _ in range(int(seconds * 50)):  # Short naps: any thread may get the signal.
            time.sleep(0.02)

progress._Listener.tell = tell
with progress.reporting(lambda p: None):
    sys.exit(main())
"""
ATTACH = ["attach", "demo", "--path", "more.csv", "--namespace", "evo2", "--key", "sequence"]


def rare(*case: object) -> object:
    """A case for the nightly run."""
    return pytest.param(*case, marks=pytest.mark.nightly)


CUT = [
    (["import", "demo", "--path", "long.csv"], "reading", 0.5),
    rare(["import", "demo", "--path", "short.csv"], "comparing ids", 1),
    (["import", "demo", "--path", "short.csv", "--keep", "names"], "writing", 1),
    (ATTACH, "writing", 0),
    rare(["materialize", "demo", "--yes", "--snapshot-before"], "copying", 1),
    (["materialize", "demo", "--yes", "--snapshot-before", "--drop-overlays"], "writing", 1),
    rare(["maintenance", "overlay-compact", "demo", "--namespace", "quickstart"], "writing", 1),
    rare(["maintenance", "merge", "--dest", "demo", "--src", "other"], "writing", 1),
    (["export", "demo", "--fmt", "jsonl", "--out", "out.jsonl"], "exporting", 1),
    rare(["snapshot", "demo"], "copying", 1),
]


def letters(n: int) -> str:
    return "".join("ACGT"[(n >> s) & 3] for s in range(0, 36, 2))


@pytest.fixture
def work(root: Path) -> Path:
    """The working folder, with files to import; the long one is read in several blocks."""
    rows = 20_000  # About 400 kB: a block has 64 kB here.
    (root.parent / "long.csv").write_text(
        "sequence\n" + "".join(f"{letters(n)}\n" for n in range(rows))
    )
    (root.parent / "short.csv").write_text("sequence,name\nACGTTTTTTT,x\n")
    # Registered before, since that stays when an import is cut off.
    register_namespace(root, namespace="names", columns="name:string")
    # So that an attach need not do it first: the registry has just changed.
    assert run("maintenance", "registry-freeze", "demo").code == 0
    first = run("cell", "demo", "--col", "sequence").out
    (root.parent / "more.csv").write_text(f"sequence,score\n{first.strip()},1.5\n")
    return root.parent


def started(argv: Sequence[str], stage: str, part: float) -> subprocess.Popen[str]:
    """Start usr and return once it pauses in the middle of its work."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, stage, str(part), "60", *argv], env=env(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line == f"{PAUSED}\n", process.communicate()[1]
    return process


@pytest.mark.parametrize(("argv", "stage", "part"), CUT, ids=lambda v: "-".join(map(str, v))
                         if isinstance(v, list) else str(v))  # fmt: skip
def test_CLI_1_ctrl_c_in_the_middle_leaves_the_state_before(
    work: Path, argv: list[str], stage: str, part: float
):
    before = digests(work)
    process = started(argv, stage, part)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert err.endswith("ERROR: Aborted\n")
    assert "Traceback" not in err
    assert digests(work) == before
    # Nothing of the operation is left in the staging folder.
    folders = [p.name for p in work.glob("datasets/*/*/_txn/*") if p.is_dir()]
    assert set(folders) <= {"retired"}
    assert not list(work.rglob(".tmp-*"))
    Dataset.open(work / "datasets", "demo").validate()
    if "long.csv" not in argv:
        again = run(*argv)
        assert again.code == 0, again.err


def screen(
    argv: Sequence[str], *, pause_s: float, keys: bytes = b"", delay_s: float = 0.5
) -> tuple[int, str]:
    """Run usr at a terminal; `keys` are pressed once a bar is there. Returns (code, all shown)."""
    pid, fd = pty.fork()
    if pid == 0:  # pragma: no cover - the child
        os.environ.update(env(COLUMNS="100", TERM="xterm-256color"))
        begin = f"from usr_nb.cli import bar\nbar.DELAY_S = {delay_s}\nif True:"
        script = SCRIPT.replace("with progress.reporting(lambda p: None):", begin)
        os.execv(sys.executable, [sys.executable, "-c", script, "reading", "0.5", str(pause_s),
                                  *argv])  # fmt: skip
    shown = b""
    pressed = False
    while True:
        try:
            block = os.read(fd, 65536)
        except OSError:
            break
        if not block:
            break
        shown += block
        if keys and not pressed and "━".encode() in shown:
            os.write(fd, keys)
            pressed = True
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), shown.decode("utf-8").replace("\r\n", "\n")


IMPORT = ["import", "demo", "--path", "long.csv"]


def test_CLI_2_long_work_shows_a_bar_on_a_terminal_which_is_wiped_off(work: Path):
    code, shown = screen(IMPORT, pause_s=1.5)
    assert code == 0, shown
    assert "importing: reading" in shown
    assert re.search(r"2\d\d\.\d KiB of 37\d\.\d KiB", shown)
    assert "imported 20,000 of 20,000 rows" in shown
    # The bar's line is erased and the cursor is there again before the result is printed.
    end = shown.rindex("imported 20,000")
    assert shown.rindex("\x1b[2K", 0, end) > shown.rindex("━", 0, end)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_CLI_2_ctrl_c_at_a_terminal_wipes_the_bar_off(work: Path):
    before = digests(work)
    code, shown = screen(IMPORT, pause_s=60, keys=b"\x03")
    assert code == 130, shown
    assert shown.rstrip().endswith("ERROR: Aborted")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert digests(work) == before


def test_CLI_2_short_work_and_pipes_show_no_bar(work: Path):
    code, shown = screen(["import", "demo", "--path", "short.csv"], pause_s=0, delay_s=20)
    assert (code, "━" in shown, "\x1b[2K" in shown) == (0, False, False)
    process = started(IMPORT, "reading", 0.5)
    time.sleep(0.8)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "━" not in err
    assert "importing" not in err
