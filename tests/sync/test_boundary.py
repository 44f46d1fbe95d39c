"""Hostile words never reach a shell or an option parser: what programs were really called with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import run
from tests.sync.beds import StandIn
from tests.sync.meet import NAME, make_store, values
from tests.sync.table import text
from tests.sync.test_remotes import HOSTILE
from usr_nb import Dataset

pytestmark = pytest.mark.needs("rsync")
#: The only words that ssh is ever given, whatever a person typed (SYN-7).
FIXED = re.compile(
    r"-T|-x|-a|-o|-l|--|ada|stand-in\.test|sh -s|-O|exit"
    r"|(BatchMode|ConnectTimeout|ConnectionAttempts|ServerAlive\w+|ClearAllForwardings"
    r"|ControlMaster|ControlPersist)=\w+|ControlPath=[A-Za-z0-9_./%-]+"
    # What rsync asks for; its own arguments follow through the connection.
    r"|rsync|--server|--sender|-st[A-Za-z.]*"
)
BITES = ["$(touch canary)", "`touch canary`", "a'b", 'q"x', "a;touch canary", "a b", "*", "é",
         "-oProxyCommand=touch canary", "--rsync-path=touch canary"]  # fmt: skip
PLACES = ["name", "host", "user", "base_dir", "repo_root"]


@pytest.fixture
def calls(standin: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The stand-in, and an rsync that writes down what it was started with."""
    monkeypatch.setenv("USR_REMOTES_PATH", str(tmp_path / "remotes.yaml"))
    monkeypatch.setenv("USR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return standin


def define(standin: StandIn, tmp_path: Path, **other: object) -> None:
    """Write a remotes file as somebody else may have written it: past all checks."""
    entry = {"type": "ssh", "host": "stand-in.test", "user": "ada", "base_dir": str(standin.base)}
    name = str(other.pop("name", "lab"))
    (tmp_path / "remotes.yaml").write_text(yaml.safe_dump({"remotes": {name: {**entry, **other}}}))


def only_fixed_words(standin: StandIn, tmp_path: Path) -> None:
    told = standin.log.read_text().split("\n") if standin.log.exists() else []
    odd = [w for w in told if w and not FIXED.fullmatch(w)]
    assert not odd
    assert not list(tmp_path.rglob("canary"))


@pytest.mark.parametrize("place", PLACES)
def test_SYN_1_hostile_remotes_start_no_program_with_their_words(
    place: str, calls: StandIn, tmp_path: Path
) -> None:
    root = ["--root", tmp_path / "here"]
    make_store(tmp_path / "here")
    for bad in HOSTILE:
        define(calls, tmp_path, **{place: bad})
        remote = bad if place == "name" else "lab"
        for command in ("diff", "push"):
            found = run(command, *root, *(["-y"] if command == "push" else []), "--", NAME, remote)
            assert found.code in (0, 2), (bad, found)
        run("remotes", "doctor", "--remote", "lab")
        only_fixed_words(calls, tmp_path)


def test_SYN_2_hostile_datasets_and_paths_start_no_program_with_their_words(
    calls: StandIn, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    define(calls, tmp_path, repo_root=str(calls.home))
    for bad in HOSTILE:
        for command in ("diff", "pull", "push"):
            ask = [] if command == "diff" else ["-y"]
            found = run(command, *ask, "--root", tmp_path / "here", "--", bad, "lab")
            assert found.code in (1, 2, 4), (bad, found)
            file = ["--repo-root", tmp_path, "--", tmp_path / "x.csv", "lab"]
            found = run(command, *ask, f"--remote-path={bad}", *file)
            assert found.code in (1, 2, 4), (bad, found)
    only_fixed_words(calls, tmp_path)


def test_SYN_5_names_that_bite_travel_as_they_are(calls: StandIn, tmp_path: Path) -> None:
    """Folders and files may be called so: they go there and come back, and nothing is run."""
    here = make_store(tmp_path / "here")
    for n, bad in enumerate(BITES):
        text(f"notes/{bad}.txt", "mine\n")(here)
        text(f"{bad}/x", f"{n}\n")(here)
    for bad in BITES:
        base = calls.home / f"base {bad}"
        base.mkdir()
        define(calls, tmp_path, base_dir=str(base))
        pushed = run("push", NAME, "lab", "-y", "--root", tmp_path / "here")
        assert pushed.code == 0, pushed.err
    (tmp_path / "back").mkdir()
    pulled = run("pull", NAME, "lab", "-y", "--root", tmp_path / "back")
    assert pulled.code == 0, pulled.err
    back = Dataset.open(tmp_path / "back", NAME)
    assert [(back.dir / bad / "x").read_text() for bad in BITES] == [
        f"{n}\n" for n in range(len(BITES))
    ]
    assert values(back) == values(here)
    only_fixed_words(calls, tmp_path)
