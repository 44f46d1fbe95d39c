"""The real process: pipes, signals, terminals, following a log."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from tests.cli.test_golden import GOLDEN, SHOWN, steady
from usr_nb import Dataset

USR = [sys.executable, "-m", "usr_nb.cli.main"]


def env(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def usr(*argv: object, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*USR, *map(str, argv)], env=env(), capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload]


def test_the_process_speaks_in_exit_codes(root: Path):
    assert usr("ls").returncode == 0
    assert usr("info", "nothing").returncode == 1
    assert usr("lss").returncode == 2
    assert usr("init", "lab/other").returncode == 3
    assert usr("head", "no.parquet").returncode == 4


def test_a_closed_pipe_is_silent(root: Path):
    script = f'"{sys.executable}" -m usr_nb.cli.main describe demo --format plain | head -n 1'
    done = subprocess.run(
        ["bash", "-c", f"{script}; exit ${{PIPESTATUS[0]}}"],
        env=env(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.replace(
        "Long vectors are shortened; --format json has them whole.\n", "")) == (0, "")  # fmt: skip


def test_a_reader_that_goes_early_is_no_error(root: Path):
    process = subprocess.Popen(
        [*USR, "export", "demo", "--help"], env=env(), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(30)


def test_EVT_follow_shows_what_is_appended_and_ctrl_c_ends_it(root: Path, demo: Dataset):
    process = subprocess.Popen(
        [*USR, "events", "tail", "demo", "--follow", "--n", "1"], env=env(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["action"] == "attach"
        with demo.events_path.open("a") as log:
            log.write('{"event_version":1,"action":"half')
            log.flush()
            time.sleep(0.5)
            log.write('_line"}\n')
        assert json.loads(process.stdout.readline())["action"] == "half_line"
        # Rotation: the new file is read from its start.
        demo.events_path.rename(demo.events_path.with_name("old"))
        demo.log_event("noticed")
        assert json.loads(process.stdout.readline())["action"] == "noticed"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert (out, err.strip()) == ("", "ERROR: Aborted")
    finally:
        process.kill()
        process.wait()


def test_events_raw_is_the_log_itself(root: Path, demo: Dataset):
    raw = usr("events", "tail", "demo", "--format", "raw", "-n", "2").stdout
    assert raw.encode() == b"".join(demo.events_path.read_bytes().splitlines(keepends=True)[-2:])
    plain = usr("events", "tail", "demo", "--format", "plain", "-n", "1").stdout
    assert "attach" in plain
    assert "rows_matched=24" in plain
    assert usr("events", "tail", "demo", "-n", "0").stdout == ""


def on_terminal(argv: list[str], columns: int, typed: bytes = b"", **more: str) -> tuple[int, str]:
    """Run `usr` on a pseudo-terminal of some width; returns the exit code and all it showed."""
    pid, fd = pty.fork()
    if pid == 0:  # pragma: no cover - the child
        os.environ.update(env(COLUMNS=str(columns), TERM="xterm", **more))
        os.execv(USR[0], [*USR, *argv])
    shown = b""
    if typed:
        os.write(fd, typed)
    while True:
        try:
            block = os.read(fd, 65536)
        except OSError:
            break
        if not block:
            break
        shown += block
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.waitstatus_to_exitcode(status), shown.decode("utf-8").replace("\r\n", "\n")


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", ["head", "info"])
def test_a_real_terminal_shows_the_golden_text(name: str, width: int, root: Path):
    code, shown = on_terminal(SHOWN[name], width, NO_COLOR="1")
    assert code == 0, shown
    assert steady(shown, root) == (GOLDEN / f"{name}-{width}.txt").read_text("utf-8")


def test_a_terminal_is_asked(root: Path):
    code, shown = on_terminal(["materialize", "demo"], 80, typed=b"n\n")
    assert code == 130
    assert "Rewrite the base table? [y/N]: " in shown
    assert "nothing was changed" in shown


def test_a_terminal_has_colours_unless_told_not_to(root: Path):
    assert "\x1b[1m" in on_terminal(["ls"], 80, NO_COLOR="")[1]
    assert "\x1b[" not in on_terminal(["ls"], 80, NO_COLOR="1")[1]
