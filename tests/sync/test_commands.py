"""`usr diff`, `pull` and `push` through the stand-in and a real sshd: what they say and change."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.cli.conftest import run
from tests.sync.beds import StandIn
from usr_nb import Dataset, register_namespace
from usr_nb.sync import remotes
from usr_nb.sync.remotes import Remote

D = "lab/demo"


def tree(folder: Path) -> dict[str, str]:
    """Every file with its digest."""
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in {".usr.lock", "holder", "checked", "calls"}
    }


def dataset(root: Path) -> Dataset:
    root.mkdir(parents=True, exist_ok=True)
    register_namespace(root, namespace="m", columns="m__x:float64")
    ds = Dataset.open(root, D)
    ds.init()
    ds.add_sequences(["ACGT", "GGCC", "TTAA"], bio_type="dna", alphabet="dna_4")
    ds.write_overlay("m", ds.head(3)[["id"]].assign(m__x=[1.0, 2.0, 3.0]))
    return ds


@pytest.fixture(params=["stand-in", "sshd"])
def remote(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Remote:
    monkeypatch.setenv("USR_REMOTES_PATH", str(tmp_path / "remotes.yaml"))
    monkeypatch.setenv("USR_ROOT", str(tmp_path / "here"))
    if request.param == "sshd":
        found: Remote = request.getfixturevalue("loopback")
    else:
        stand: StandIn = request.getfixturevalue("standin")
        found = stand.remote()
    remotes.add(found)
    return found


def test_SYN_2_a_dataset_goes_there_and_comes_to_another_place(
    remote: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ds = dataset(tmp_path / "here")
    there = Path(remote.base_dir)
    before = tree(tmp_path)
    ahead = run("diff", D, remote.name, "--exit-code")
    assert ahead.code == 10
    assert "only here" in ahead.out
    assert tree(tmp_path) == before, "looking writes nothing"
    pushed = run("push", D, remote.name, "-y")
    assert pushed.code == 0, pushed.err
    assert "pushed to" in pushed.out
    same = run("diff", D, remote.name, "--exit-code", "--format", "json")
    assert same.code == 0
    assert same.data["has_change"] is False
    assert same.data["primary_local"] == same.data["primary_remote"]
    assert same.data["events_local_lines"] == same.data["events_remote_lines"] == 4
    settled = tree(tmp_path)
    assert run("push", D, remote.name, "-y").out == "nothing to do\n"
    assert run("pull", D, remote.name, "-y").out == "nothing to do\n"
    assert tree(tmp_path) == settled, "a sync that moves nothing writes nothing"
    # The dataset does not exist in this root yet.
    monkeypatch.setenv("USR_ROOT", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    assert run("diff", D, remote.name, "--exit-code").code == 11
    assert run("pull", D, remote.name, "-y").code == 0
    other = Dataset.open(tmp_path / "elsewhere", D)
    assert other.head(9).equals(ds.head(9))
    for copy in (other, Dataset.open(there, D)):
        copy.validate(strict=True, registry_mode="namespace-either")
        assert not copy.doctor().findings


def test_SYN_4_both_worked_and_both_keep_their_work(remote: Remote, tmp_path: Path) -> None:
    here = dataset(tmp_path / "here")
    assert run("push", D, remote.name, "-y").code == 0
    there = Dataset.open(Path(remote.base_dir), D)
    ids = list(here.head(3)["id"])
    there.add_sequences(["CCCC"], bio_type="dna", alphabet="dna_4")
    there.write_overlay_part("m", [{"id": ids[0], "m__x": 9.0}])
    here.add_sequences(["AAAA"], bio_type="dna", alphabet="dna_4")
    here.tombstone([ids[1]], reason="twin")
    log = here.events_path.read_bytes()
    assert run("diff", D, remote.name, "--exit-code").code == 12
    assert run("pull", D, remote.name, "-y").code == 0
    assert here.events_path.read_bytes().startswith(log), "a byte offset stays valid"
    assert list(here.head(9)["sequence"]) == ["ACGT", "TTAA", "AAAA", "CCCC"]
    assert list(here.head(9)["m__x"].dropna()) == [9.0, 3.0]
    assert run("diff", D, remote.name, "--exit-code").code == 10
    assert run("push", D, remote.name, "-y").code == 0
    assert there.head(9).equals(here.head(9))
    assert run("diff", D, remote.name, "--exit-code").code == 0
    for copy in (here, there):
        copy.validate(strict=True, registry_mode="namespace-either")
        assert not copy.doctor().findings


def test_SYN_4_a_conflict_stops_and_prefer_keeps_the_loser(remote: Remote, tmp_path: Path) -> None:
    here = dataset(tmp_path / "here")
    assert run("push", D, remote.name, "-y").code == 0
    there = Dataset.open(Path(remote.base_dir), D)
    ids = list(here.head(3)["id"])
    for copy, value in ((here, 5.0), (there, 6.0)):
        copy.write_overlay_part("m", [{"id": ids[0], "m__x": value}])
        with copy.maintenance(reason="test"):
            copy.materialize(keep_overlays=False)
    mine = here.records_path.read_bytes()
    before = tree(tmp_path)
    stopped = run("pull", D, remote.name, "-y")
    assert stopped.code == 2
    assert "--prefer local" in stopped.err
    assert tree(tmp_path) == before
    chosen = run("pull", D, remote.name, "-y", "--prefer", "remote")
    assert chosen.code == 0, chosen.err
    assert here.head(1)["m__x"].iloc[0] == 6.0
    saved = [p for p in here.snapshot_dir.iterdir() if f"-pull-{remote.name}" in p.name]
    assert [p.read_bytes() for p in saved] == [mine]


def test_SYN_5_an_unreachable_host_is_an_error_not_an_absence(
    standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USR_REMOTES_PATH", str(tmp_path / "remotes.yaml"))
    monkeypatch.setenv("USR_ROOT", str(tmp_path / "here"))
    remotes.add(standin.remote())
    dataset(tmp_path / "here")
    standin.fault(exit=255, says="ssh: connect to host stand-in.test port 22: Connection refused")
    before = tree(tmp_path / "here")
    for command in ("diff", "status", "pull", "push"):
        found = run(command, D, "lab")
        assert found.code == 2
        assert found.out == ""
        assert "Connection refused" in found.err
    assert tree(tmp_path / "here") == before


def test_SYN_2_one_file_goes_there_and_what_it_replaces_is_kept(
    standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USR_REMOTES_PATH", str(tmp_path / "remotes.yaml"))
    monkeypatch.setenv("USR_STATE_DIR", str(tmp_path / "state"))
    (standin.home / "code" / "runs").mkdir(parents=True)
    remotes.add(standin.remote(repo_root=str(standin.home / "code")))
    table = tmp_path / "repo" / "runs" / "scores.csv"
    table.parent.mkdir(parents=True)
    table.write_text("id,x\na,1\n")
    args = [str(table), "lab", "--repo-root", str(tmp_path / "repo")]
    assert run("diff", *args, "--exit-code").code == 10
    assert run("push", *args, "-y").code == 0
    theirs = standin.home / "code" / "runs" / "scores.csv"
    assert theirs.read_bytes() == table.read_bytes()
    theirs.write_text("id,x\na,2\n")
    table.write_text("id,x\na,3\n")
    assert run("diff", *args, "--exit-code").code == 12
    assert run("pull", *args, "-y").code == 0
    assert table.read_text() == "id,x\na,2\n"
    kept = [p for p in table.parent.iterdir() if ".before-pull-" in p.name]
    assert [p.read_text() for p in kept] == ["id,x\na,3\n"]
    missing = run("pull", str(tmp_path / "repo" / "none.csv"), *args[1:], "-y")
    assert missing.code == 1, missing.err
