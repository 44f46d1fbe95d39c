"""Sessions: scripts and files over a stand-in and over a real sshd (SYN-5, SYN-7)."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sync.beds import StandIn
from tests.sync.sshd import Server, free_port, program
from usr_nb import (
    RemoteUnavailableError,
    SequencesError,
    TransferError,
    UserAbort,
    VerificationError,
    reporting,
)
from usr_nb.sync import doctor, files, inventory, remotes, scripts
from usr_nb.sync.remotes import Remote
from usr_nb.sync.ssh import PARTIAL, Session

pytestmark = pytest.mark.needs("rsync")
NAMES = ["a.txt", "deep/er/b c.txt", "$(touch canary)", "`touch canary`;x", "-dash", "'q\"", "é",
         "*", "back\\slash", "#hash", "; x"]  # fmt: skip


def lay(folder: Path, names: list[str] = NAMES) -> dict[str, bytes]:
    found = {n: n.encode() * 100 for n in names}
    for name, data in found.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return found


def read(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def both_ways(remote: Remote, tmp_path: Path) -> None:
    """Files with names that bite go there and come back, byte for byte."""
    here, back = tmp_path / "here $(touch canary)", tmp_path / "back"
    here.mkdir()
    back.mkdir()
    sent = lay(here)
    there = Path(remote.base_dir) / "into `x`"
    there.mkdir()
    with Session(remote) as session:
        session.send(here, list(sent), str(there))
        assert read(there) == sent
        out = session.run(scripts.hash_script(str(there), dict.fromkeys(sent)))
        assert len(scripts.parse_digests(out)) == len(sent)
        session.fetch(str(there), list(sent), back)
    assert read(back) == sent
    assert not list(tmp_path.rglob("canary"))


def test_SYN_7_files_go_both_ways(standin: StandIn, tmp_path: Path):
    both_ways(standin.remote(), tmp_path)
    words = standin.log.read_text().split("\n")
    assert words.count("sh -s") == 1, "all that a script is told goes in through its input"
    assert not any("canary" in w for w in words)


@pytest.mark.needs("sshd")
def test_SYN_7_files_go_both_ways_over_sshd(loopback: Remote, tmp_path: Path):
    both_ways(loopback, tmp_path)


@pytest.mark.needs("sshd")
def test_SYN_7_one_connection_serves_all_and_ends(loopback: Remote, server: Server):
    log = server.folder / "log"
    before = log.read_text().count("Accepted publickey")
    with Session(loopback) as session:
        for _ in range(5):
            assert session.run("echo hello\nat=done\n") == b"hello\n"
        socket = session._socket
        assert socket.exists()
    assert log.read_text().count("Accepted publickey") == before + 1
    assert not socket.exists()


def test_SYN_7_home_folder_is_where_a_tilde_leads(standin: StandIn):
    remote = standin.remote(base_dir="~/datasets")
    with Session(remote) as session:
        assert inventory.remote_inventory(session, "none").exists is False
        (standin.base / "x").mkdir()
        (standin.base / "x/records.parquet").write_bytes(b"x")
        found = inventory.remote_inventory(session, "x")
    assert found.exists
    assert found.place == f"ada@stand-in.test:22{standin.base}/x"


# What is no answer --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("Host key verification failed.", "host key is not known"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "has changed"),
        ("ada@h: Permission denied (publickey).", "refused the login"),
        ("ssh: Could not resolve hostname h: Name or service not known", "name is not known"),
        ("ssh: connect to host h port 22: Connection timed out", "did not answer in time"),
        ("ssh: connect to host h port 22: Connection refused", "nothing listens"),
        ("something else \x1b[31m", "ssh gave up"),
    ],
)
def test_SYN_5_ssh_errors_say_what_to_do(standin: StandIn, says: str, why: str):
    standin.fault(says=says, exit=255)
    with Session(standin.remote()) as session:
        with pytest.raises(RemoteUnavailableError, match=why) as error:
            session.run("echo x\nat=done\n")
        assert error.value.hint
        assert "\x1b" not in error.value.message
        # Of words that nobody knows, rsync may be the one that speaks last.
        kinds = TransferError if "gave up" in why else RemoteUnavailableError
        with pytest.raises((RemoteUnavailableError, kinds)) as error:
            session.fetch("/x", ["y"], standin.home)
        assert says.partition("\x1b")[0] in error.value.message


@pytest.mark.parametrize("code", [0, 1, 127, 255])
def test_SYN_5_silence_is_never_an_answer(standin: StandIn, code: int):
    standin.fault(exit=code)
    with Session(standin.remote()) as session, pytest.raises(RemoteUnavailableError):
        inventory.remote_inventory(session, "lab/demo")


@pytest.mark.parametrize("chatter", ["Welcome!\n", "no newline", "USR-BEGIN-0\nUSR-END-0 0 done\n"])
def test_SYN_5_chatter_of_a_login_shell_is_no_answer(standin: StandIn, chatter: str):
    standin.fault(chatter=chatter)
    with Session(standin.remote()) as session:
        assert session.run("echo real\nat=done\n") == b"real\n"
        with pytest.raises(TransferError, match="do not understand"):
            session.fetch(str(standin.home), ["x"], standin.home)


@pytest.mark.parametrize("cut", [0, 1, 20, 40, 60, 75])
def test_SYN_5_cut_answers_are_errors(standin: StandIn, cut: int):
    standin.fault(die_out=cut)
    with Session(standin.remote()) as session, pytest.raises(SequencesError) as error:
        session.run("printf '%0100d' 1\nat=done\n")
    assert isinstance(error.value, RemoteUnavailableError | TransferError)


def test_SYN_5_slow_scripts_are_given_up(standin: StandIn):
    begun = time.monotonic()
    with (
        Session(standin.remote()) as session,
        pytest.raises(RemoteUnavailableError, match="answer"),
    ):
        session.run("sleep 30\nat=done\n", timeout_s=0.3)
    assert time.monotonic() - begun < 10


STALLED = """
import sys
from pathlib import Path
from usr_nb.sync.remotes import Remote
from usr_nb.sync.ssh import Session

with Session(Remote("lab", host="stand-in.test", user="ada", base_dir="/x")) as session:
    session.fetch(sys.argv[1], ["big.bin"], Path(sys.argv[2]))
"""


# Some of what rsync sends comes, then nothing, until who should take it is gone.
SOME = """#!{python}
import os, subprocess, sys

sender = subprocess.Popen(["{rsync}", *sys.argv[1:]], stdout=subprocess.PIPE)
os.set_blocking(1, True)
left = 100_000
while left and (data := os.read(sender.stdout.fileno(), left)):
    left -= len(data)
    while data:
        data = data[os.write(1, data) :]
open("{told}", "w").write("x")
os.set_blocking(0, True)
while os.read(0, 1 << 16):
    pass
"""


def test_SYN_5_what_a_killed_pull_has_started_ends_by_itself(standin: StandIn, tmp_path: Path):
    """Killed while the connection stalls: neither rsync nor ssh waits for ever for what is gone."""
    (standin.home / "big.bin").write_bytes(os.urandom(300_000))
    told = tmp_path / "stalled"
    os.mkfifo(told)
    text = SOME.format(python=sys.executable, rsync=shutil.which("rsync"), told=told)
    standin.fault(path=program(tmp_path / "slow", text, "rsync"))
    into = tmp_path / "into"
    into.mkdir()
    victim = subprocess.Popen(
        [sys.executable, "-c", STALLED, str(standin.home), str(into)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    told.read_text()
    started = {pid: os.pidfd_open(pid) for pid in descendants(victim.pid)}
    assert len(started) >= 3, "rsync, what stands in for ssh, and what sends"
    victim.kill()
    victim.wait()
    for pid, fd in started.items():
        ended, _, _ = select.select([fd], [], [], 20)
        os.close(fd)
        assert ended, f"{pid} is still there"


def descendants(pid: int) -> list[int]:
    """Return the numbers of the processes below one."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(place.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(place.parent.name))
    below = children.get(pid, [])
    return [p for child in below for p in (child, *descendants(child))]


def test_SYN_5_missing_rsync_there_is_named(standin: StandIn, tmp_path: Path):
    path = program(
        tmp_path / "no", "#!/bin/sh\necho 'sh: 1: rsync: not found' >&2\nexit 127\n", "rsync"
    )
    standin.fault(path=path)
    with Session(standin.remote()) as session, pytest.raises(TransferError, match="no rsync"):
        session.fetch(str(standin.home), ["x"], tmp_path)


def test_SYN_5_missing_files_are_told(standin: StandIn, tmp_path: Path):
    with Session(standin.remote()) as session, pytest.raises(TransferError, match="not be copied"):
        session.fetch(str(standin.home), ["gone.txt"], tmp_path)


# Cut and taken up again ---------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["fetch", "send"])
def test_SYN_5_cut_transfer_goes_on(standin: StandIn, tmp_path: Path, direction: str):
    size = 3_000_000
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    data = os.urandom(size)
    (source / "big").write_bytes(data)
    (source / "small").write_bytes(b"small")
    standin.fault(**{"die_out" if direction == "fetch" else "die_in": 2_000_000})
    with Session(standin.remote()) as session:

        def go() -> None:
            if direction == "fetch":
                session.fetch(str(source), ["big", "small"], target)
            else:
                session.send(source, ["big", "small"], str(target))

        with pytest.raises(SequencesError) as error:
            go()
        assert isinstance(error.value, TransferError | RemoteUnavailableError)
        assert not (target / "big").exists(), "no half file under its name"
        partial = target / PARTIAL / "big"
        # How much of it rsync had written down when its own connection went is chance.
        assert 0 < partial.stat().st_size < size
        standin.fault(die_out=None, die_in=None)
        go()
    assert (target / "big").read_bytes() == data


def test_SYN_7_what_is_there_already_need_not_travel(standin: StandIn, tmp_path: Path):
    old = os.urandom(2_000_000)
    (tmp_path / "have").mkdir()
    (tmp_path / "have/big").write_bytes(old)
    (standin.home / "big").write_bytes(old + b"appended")
    for path, data in ((tmp_path / "have/same", b"old"), (standin.home / "same", b"new")):
        path.write_bytes(data)
        os.utime(path, (1_700_000_000, 1_700_000_000))
    (tmp_path / "into").mkdir()
    # Far fewer bytes than the file may pass.
    standin.fault(die_out=200_000)
    with Session(standin.remote()) as session:
        names = ["big", "same"]
        session.fetch(str(standin.home), names, tmp_path / "into", basis=tmp_path / "have")
    assert (tmp_path / "into/big").read_bytes() == old + b"appended"
    assert (tmp_path / "have/big").read_bytes() == old
    assert (tmp_path / "into/same").read_bytes() == b"new", "size and time are no content"


def test_SYN_5_a_listener_that_raises_ends_the_transfer(standin: StandIn, tmp_path: Path):
    (standin.home / "big").write_bytes(b"x" * 50_000_000)

    def stop(progress):
        if progress.stage == "receiving" and progress.done >= 0:
            raise UserAbort("Enough")

    children = set(Path("/proc").glob("[0-9]*"))
    with Session(standin.remote()) as session, reporting(stop), pytest.raises(UserAbort):
        session.fetch(str(standin.home), ["big"], tmp_path)
    time.sleep(0.1)
    left = [
        p for p in set(Path("/proc").glob("[0-9]*")) - children
        if (p / "cmdline").exists() and str(standin.home).encode() in (p / "cmdline").read_bytes()
    ]  # fmt: skip
    assert left == []
    assert not (tmp_path / "big").exists()


def test_CLI_2_progress_counts_bytes(standin: StandIn, tmp_path: Path):
    (standin.home / "big").write_bytes(os.urandom(4_000_000))
    seen = []
    with Session(standin.remote()) as session, reporting(seen.append):
        session.fetch(str(standin.home), ["big"], tmp_path, size=4_000_000)
    got = [p for p in seen if p.stage == "receiving"]
    assert (got[0].done, got[-1].done, got[-1].total) == (0, 4_000_000, 4_000_000)
    assert [p.done for p in got] == sorted(p.done for p in got)


# A real server ------------------------------------------------------------------------------------


@pytest.mark.needs("sshd")
def test_SYN_5_real_refusals(loopback: Remote, server: Server, tmp_path: Path, monkeypatch):
    def fails(remote: Remote, why: str) -> None:
        with Session(remote) as session, pytest.raises(RemoteUnavailableError, match=why):
            session.run("echo x\nat=done\n")

    common = {"user": loopback.user, "base_dir": loopback.base_dir, "ssh_key_env": "USR_TEST_KEY"}
    fails(Remote("x", host="127.0.0.1", port=free_port(), **common), "nothing listens")
    (server.folder / "empty").write_text("")
    config = (server.folder / "ssh_config").read_text()
    strict = tmp_path / "ssh_config"
    strict.write_text(config.replace("/known_hosts", "/empty", 1))
    ssh = shutil.which("ssh", path=os.environ["PATH"].partition(os.pathsep)[2])
    real = program(tmp_path / "strict", f'#!/bin/sh\nexec {ssh} -F {strict} "$@"\n')
    with monkeypatch.context() as m:
        m.setenv("PATH", f"{real}{os.pathsep}{os.environ['PATH']}")
        fails(loopback, "host key is not known")
    monkeypatch.setenv("USR_TEST_KEY", str(server.folder / "host_key"))
    fails(loopback, "refused the login")


@pytest.mark.needs("sshd")
def test_SYN_1_doctor_finds_a_working_remote(loopback: Remote, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("USR_REMOTES_PATH", str(tmp_path / "remotes.yaml"))
    remotes.add(loopback)
    found = doctor.doctor("loop")
    assert found.fine, found
    verdicts = {c.name: c.verdict for c in found.checks}
    assert {"ssh", "rsync", "base_dir", "write", "link", "clock", "free space"} <= set(verdicts)
    assert verdicts["clock"] == "ok"
    assert list(Path(loopback.base_dir).iterdir()) == []


def test_SYN_1_doctor_says_how_to_fix(standin: StandIn, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("USR_REMOTES_PATH", str(tmp_path / "remotes.yaml"))
    remotes.add(standin.remote(base_dir=str(tmp_path / "none")))
    broken = program(tmp_path / "broken", "#!/bin/sh\nexit 1\n", "flock")
    program(broken, "#!/bin/sh\necho 'rsync  version 2.6.9  protocol version 29'\n", "rsync")
    program(broken, "#!/bin/sh\necho 1000.5\n", "date")
    standin.fault(path=broken)
    found = {c.name: c for c in doctor.doctor("lab").checks}
    assert found["base_dir"].verdict == found["rsync"].verdict == "failed"
    assert found["clock"].verdict == "warning"
    assert all(c.fix for c in found.values() if c.verdict != "ok")
    standin.fault(exit=255, says="Permission denied (publickey).")
    found = {c.name: c for c in doctor.doctor("lab").checks}
    assert found["ssh"].verdict == "failed"
    assert "ssh-copy-id" in (found["ssh"].fix or "")


# FILE mode ----------------------------------------------------------------------------------------


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("USR_STATE_DIR", str(tmp_path / "state"))
    folder = tmp_path / "repo"
    (folder / "runs").mkdir(parents=True)
    return folder


def file_drill(remote: Remote, repo: Path) -> None:
    """One file goes there, is changed on either side, on both, and nothing is lost."""
    path = repo / "runs/x $(touch canary).csv"
    path.write_text("one\n")
    there = Path(str(remote.repo_root)) / "runs" / path.name
    with Session(remote) as session:
        at = files.map_path(path, remote=remote, repo_root=repo, env={})
        assert at == str(there)

        def diff() -> files.FileDiff:
            return files.file_diff(session, path, at)

        assert diff().state == "ahead"
        done = files.push_file(session, diff())
        assert (done.moved, done.kept, there.read_text()) == (True, None, "one\n")
        assert diff().state == "same"
        assert files.push_file(session, diff()).moved is False
        path.write_text("two\n")
        assert diff().state == "ahead"
        assert files.push_file(session, diff()).kept is None, "both had what was overwritten"
        there.write_text("three\n")
        assert diff().state == "behind"
        assert files.pull_file(session, diff()).kept is None
        assert path.read_text() == "three\n"
        path.write_text("mine\n")
        there.write_text("theirs\n")
        assert diff().state == "diverged"
        kept = files.pull_file(session, diff()).kept
        assert kept is not None
        assert (path.read_text(), Path(kept).read_text()) == ("theirs\n", "mine\n")
        path.write_text("mine 2\n")
        there.write_text("theirs 2\n")
        kept = files.push_file(session, diff()).kept
        assert kept is not None
        assert (there.read_text(), Path(kept).read_text()) == ("mine 2\n", "theirs 2\n")
    names = {p.name for p in [*there.parent.iterdir(), *path.parent.iterdir()]}
    assert not any(n.startswith(".usr-") or n == "canary" for n in names)


def test_SYN_2_file_mode(standin: StandIn, repo: Path):
    root = standin.home / "code"
    root.mkdir()
    file_drill(standin.remote(repo_root=str(root)), repo)


@pytest.mark.needs("sshd")
def test_SYN_2_file_mode_over_sshd(loopback: Remote, repo: Path, tmp_path: Path):
    root = tmp_path / "there/code"
    root.mkdir()
    remote = Remote(**{**loopback.__dict__, "repo_root": str(root)})
    file_drill(remote, repo)


@pytest.mark.parametrize("fault", ["die_out", "die_in"])
def test_SYN_2_cut_file_transfer_changes_nothing(standin: StandIn, repo: Path, fault: str):
    root = standin.home / "code"
    (root / "runs").mkdir(parents=True)
    remote = standin.remote(repo_root=str(root))
    here, there = repo / "runs/x.csv", root / "runs/x.csv"
    here.write_bytes(os.urandom(1_000_000))
    there.write_bytes(os.urandom(1_000_000))
    before = here.read_bytes(), there.read_bytes()
    with Session(remote) as session:
        diff = files.file_diff(session, here, str(there))
        move = files.pull_file if fault == "die_out" else files.push_file
        standin.fault(**{fault: 500_000})
        with pytest.raises(SequencesError):
            move(session, diff)
        assert (here.read_bytes(), there.read_bytes()) == before
        standin.fault(**{fault: None})
        done = move(session, diff)
    assert here.read_bytes() == there.read_bytes()
    assert done.kept is not None


def test_SYN_2_moving_source_is_found(standin: StandIn, repo: Path):
    there = standin.home / "x.csv"
    there.write_text("one\n")
    here = repo / "x.csv"
    with Session(standin.remote()) as session:
        diff = files.file_diff(session, here, str(there))
        there.write_text("two, later\n")
        with pytest.raises(VerificationError):
            files.pull_file(session, diff)
    assert not here.exists()


@pytest.mark.parametrize(
    ("local", "options", "says"),
    [
        ("/elsewhere/x.csv", {}, "does not lie below"),
        ("runs/../../x.csv", {}, "does not lie below"),
        ("link/x.csv", {}, "does not lie below"),
        ("a\nb.csv", {}, "cannot be a path"),
        ("x.csv", {"remote_path": "../x.csv"}, "not allowed"),
        ("x.csv", {"remote_path": "/a/../x.csv"}, "not allowed"),
        ("x.csv", {"remote_path": "-x.csv"}, "not allowed"),
        ("x.csv", {"remote_path": "/a/\n.csv"}, "not allowed"),
        ("x.csv", {"remote_path": ""}, "not allowed"),
    ],
)
def test_SYN_2_paths_that_escape_are_refused(
    repo: Path, tmp_path: Path, local: str, options: dict[str, str], says: str
):
    (repo / "link").symlink_to(tmp_path)
    remote = Remote("lab", host="h", user="u", base_dir="/d", repo_root="/code")
    with pytest.raises(SequencesError, match=says):
        files.map_path(repo / local, remote=remote, repo_root=repo, env={}, **options)


def test_SYN_2_path_mapping_by_precedence(repo: Path):
    remote = Remote("lab", host="h", user="u", base_dir="/d", repo_root="/code",
                    local_repo_root=str(repo))  # fmt: skip
    env = {"DNADESIGN_REPO_ROOT": str(repo / "other")}
    path = repo / "runs/x.csv"
    assert files.map_path(path, remote=remote, env=env) == "/code/runs/x.csv"
    assert files.map_path(path, remote=remote, repo_root=repo / "runs", env=env) == "/code/x.csv"
    assert files.map_path(path, remote=remote, remote_path="/z.csv", env=env) == "/z.csv"
    assert files.map_path(path, remote=remote, remote_path="z.csv", env=env) == "/code/z.csv"
    plain = Remote("lab", host="h", user="u", base_dir="/d", repo_root="/code")
    env = {"DNADESIGN_REPO_ROOT": str(repo)}
    assert files.map_path(path, remote=plain, env=env) == "/code/runs/x.csv"
    with pytest.raises(SequencesError, match="no local root"):
        files.map_path(path, remote=plain, env={})
    rootless = Remote("lab", host="h", user="u", base_dir="/d")
    with pytest.raises(SequencesError, match="no repo_root"):
        files.map_path(path, remote=rootless, env=env)


def test_SYN_2_a_dataset_keeps_its_own_files(standin: StandIn, repo: Path):
    (repo / "demo/_txn").mkdir(parents=True)
    (repo / "demo/records.parquet").write_bytes(b"x")
    (standin.home / "r.parquet").write_bytes(b"y")
    with Session(standin.remote()) as session:
        diff = files.file_diff(session, repo / "demo/records.parquet", f"{standin.home}/r.parquet")
        with pytest.raises(SequencesError, match="file of the dataset"):
            files.pull_file(session, diff)
        (standin.home / "_txn").mkdir()
        (standin.home / "records.parquet").write_bytes(b"z")
        (repo / "free.parquet").write_bytes(b"f")
        diff = files.file_diff(session, repo / "free.parquet", f"{standin.home}/records.parquet")
        with pytest.raises(SequencesError, match="file of a dataset"):
            files.push_file(session, diff)
