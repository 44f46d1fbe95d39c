"""`serve_explorer` with a real marimo behind it: its one line, its port, its end."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.browser.conftest import answers, free_port, running, wait_until
from usr_nb.cli import serve
from usr_nb.errors import DatasetNotFound, ValidationError

CALL = """
import sys
import urllib.request
from pathlib import Path
from usr_nb.cli.serve import serve_explorer
root, dataset, port, base = sys.argv[1:]
sys.exit(serve_explorer(Path(root), dataset or None, port=int(port) or None, base_url=base))
"""


def call(root: Path, *, dataset: str = "", port: int = 0, base: str = "") -> list[str]:
    return [sys.executable, "-c", CALL, str(root), dataset, str(port), base]


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.is_file() and "\nState:\tZ" not in status.read_text()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_answers_and_ends_its_child_quietly(demo_root, home_env, tmp_path, how):
    port, log = free_port(), tmp_path / "out.txt"
    command = call(demo_root, dataset="sos", port=port, base="/me/proxy")
    with running(command, log, env=home_env, cwd=tmp_path) as process:
        wait_until(lambda: b"\n" in log.read_bytes(), what="the line with the address")
        assert log.read_text() == f"Explorer: http://127.0.0.1:{port}/me/proxy/\n"
        assert answers(port, "/me/proxy/health")
        [child] = children(process.pid)
        process.send_signal(how)
        assert process.wait(15) == 0
        wait_until(lambda: not is_alive(child), what="the end of the child", seconds=10)
    assert log.read_text().count("\n") == 1, "it ends without a word"


def test_over_ssh_it_tells_how_to_reach_it(capsys, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 22 10.0.0.2 22")
    serve._say("http://127.0.0.1:2718/", "127.0.0.1", 2718)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Explorer: http://127.0.0.1:2718/"
    assert re.fullmatch(r"From your own machine: ssh -N -L 2718:localhost:2718 \S+@\S+", lines[1])
    monkeypatch.delenv("SSH_CONNECTION")
    serve._say("http://127.0.0.1:2718/", "127.0.0.1", 2718)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_port_that_is_taken_is_passed_over_unless_it_was_asked_for(monkeypatch, demo_root):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValidationError, match=f"port {port}") as caught:
            serve.serve_explorer(demo_root, None, port=port)
        assert "--port" in (caught.value.hint or "")
        monkeypatch.setattr(serve, "FIRST_PORT", port)
        assert port < serve._choose_port("127.0.0.1", None) < port + 100


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dataset": "nobody", "port": None}, DatasetNotFound),
        ({"dataset": None, "port": 70_000}, ValidationError),
        ({"dataset": None, "port": 0}, ValidationError),
        ({"dataset": None, "port": None, "base_url": "/a b"}, ValidationError),
        ({"dataset": None, "port": None, "base_url": "x?y"}, ValidationError),
        ({"dataset": None, "port": None, "host": "203.0.113.1"}, ValidationError),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_starts(
    demo_root, monkeypatch, options, error
):
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("a child was started"))
    name = options.pop("dataset")
    with pytest.raises(error):
        serve.serve_explorer(demo_root, name, **options)


def test_another_address_gets_a_token_that_no_argument_shows(demo_root, home_env, tmp_path):
    port, log = free_port(), tmp_path / "out.txt"
    command = call(demo_root, port=port)
    command[2] = CALL.replace("base_url=base", "host='0.0.0.0'")
    with running(command, log, env=home_env) as process:
        wait_until(lambda: log.read_bytes().count(b"\n") == 2, what="the two lines")
        first, second = log.read_text().splitlines()
        host = socket.gethostname()
        match = re.fullmatch(
            rf"Explorer: http://{re.escape(host)}:{port}/\?access_token=([\w-]{{20,}})", first
        )
        assert match
        assert second.startswith("From your own machine: ssh -N -L")
        [child] = children(process.pid)
        assert match[1].encode() not in Path(f"/proc/{child}/cmdline").read_bytes()
        assert not answers(port, "/"), "without the token nothing is shown"
        with urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor()
        ).open(f"http://127.0.0.1:{port}/?access_token={match[1]}", timeout=10) as page:
            assert b"USR explorer" in page.read()


def test_nohup_outlives_the_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with serve._stop_on_signals():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            with pytest.raises(serve._AskedToStop):
                signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
