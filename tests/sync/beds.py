"""A stand-in for ssh, a real sshd, and remotes that lead to either: fixtures of conftest."""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sync import sshd
from usr_nb.sync.remotes import Remote


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: these tests fsync all the time."""
    shm = Path("/dev/shm")
    if not os.access(shm, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="usr-test-", dir=shm))
    yield folder
    shutil.rmtree(folder)


@dataclass
class StandIn:
    """The stand-in: `home` is where its commands begin, `base` the root of datasets there."""

    home: Path
    base: Path
    log: Path
    bin: Path
    monkeypatch: pytest.MonkeyPatch

    def remote(self, **other: object) -> Remote:
        settings = {"host": "stand-in.test", "user": "ada", "base_dir": str(self.base), **other}
        return Remote("lab", **settings)

    def fault(self, **faults: object) -> None:
        """Set faults by name (`die_ms=30`); None takes one away."""
        for name, value in faults.items():
            if value is None:
                self.monkeypatch.delenv(f"STANDIN_{name.upper()}", raising=False)
            else:
                self.monkeypatch.setenv(f"STANDIN_{name.upper()}", str(value))


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The stand-in is the `ssh` that is found first."""
    home = tmp_path / "there"
    base = home / "datasets"
    base.mkdir(parents=True)
    folder = tmp_path / "bin"
    folder.mkdir()
    shutil.copy(sshd.STANDIN, folder / "ssh")
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STANDIN_HOME", str(home))
    monkeypatch.setenv("STANDIN_LOG", str(tmp_path / "calls"))
    monkeypatch.setenv("STANDIN_COUNT", str(tmp_path / "count"))
    return StandIn(home, base, tmp_path / "calls", folder, monkeypatch)


@pytest.fixture(scope="session")
def server(require_tool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Server]:
    """A real sshd for the whole run."""
    with sshd.running(require_tool("sshd"), tmp_path_factory.mktemp("sshd")) as found:
        yield found


@pytest.fixture
def loopback(server: sshd.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A remote that is reached through the real ssh and sshd."""
    monkeypatch.setenv("PATH", f"{server.bin}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("USR_TEST_KEY", str(server.key))
    base = tmp_path / "there" / "datasets"
    base.mkdir(parents=True)
    return Remote(
        "loop", host="127.0.0.1", user=getpass.getuser(), base_dir=str(base),
        port=server.port, ssh_key_env="USR_TEST_KEY",
    )  # fmt: skip
