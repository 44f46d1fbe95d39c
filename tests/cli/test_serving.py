"""`usr demo` and `usr open` hand over to the demo's builder and the explorer's server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import run
from usr_nb.cli import demo_cmds


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Calls of the server, which is replaced."""
    calls: list[tuple[Any, ...]] = []

    def serve(root: Path, dataset: str | None, **options: Any) -> int:
        calls.append((root, dataset, options))
        return 0

    monkeypatch.setattr(demo_cmds, "serve_explorer", serve)
    return calls


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    calls: list[Path] = []

    def build(folder: Path, *, say: Any) -> Path:
        calls.append(folder)
        say("step one")
        return tmp_path / folder

    monkeypatch.setattr(demo_cmds, "build_demo", build)
    return calls


def test_CLI_5_open_serves_the_root(root: Path, served: list[Any]):
    assert run("open").code == 0
    assert run("open", "demo", "--port", "4000", "--host", "0.0.0.0", "--base-url", "/x").code == 0
    assert served[0][:2] == (root, None)
    assert served[0][2]["port"] is None
    assert served[1] == (
        root, "densegen/demo",
        {"port": 4000, "host": "0.0.0.0", "base_url": "/x", "open_browser": False},
    )  # fmt: skip


def test_open_here_begins_with_the_dataset_here(root: Path, served: list[Any], monkeypatch):
    monkeypatch.chdir(root / "lab" / "other")
    assert run("open").code == 0
    assert served[0][:2] == (root, "lab/other")


@pytest.mark.parametrize("argv", [["open", "nothing"], ["open", "--port", "70000"]])
def test_open_mistakes(root: Path, served: list[Any], argv: list[str]):
    result = run(*argv)
    assert result.code in {1, 2}
    assert result.err.startswith("ERROR: ")
    assert served == []


def test_demo_builds_and_serves(tmp_path: Path, served: list[Any], built: list[Path], monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("demo", "--port", "4001")
    assert (result.code, result.out) == (0, "step one\n")
    assert built == [Path("demo")]
    assert served[0][0] == tmp_path / "demo"
    assert served[0][2]["port"] == 4001


def test_demo_without_serving(tmp_path: Path, served: list[Any], built: list[Path]):
    assert run("demo", "there", "--no-serve").code == 0
    assert built == [Path("there")]
    assert served == []
    assert run("demo", "--port", "many").code == 2
