"""Completion by the shell: installed by one documented command, tried in a real bash."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from tests.cli.test_process import USR, env


def completed(shell: str, words: str) -> set[str]:
    """Return what completion offers for the last of some words; descriptions left out."""
    asked = {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": words},
        "fish": {"_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = subprocess.run(
        USR, env=env(_USR_COMPLETE=f"complete_{shell}", **asked), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stderr == ""
    if shell == "zsh":
        return {name for name, _ in re.findall(r'"([^"]+)"(:"[^"]*")?', done.stdout)}
    return {line.split("\t")[0] for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("usr he", {"head"}),
        ("usr state s", {"set"}),
        ("usr state set --qc-status ", {"pass", "fail", "warn", "unknown"}),
        ("usr head dens", {"densegen/demo"}),
        ("usr info oth", {"other"}),
    ],
)
def test_every_shell_is_offered_the_same(root: Path, shell: str, words: str, offered: set[str]):
    assert completed(shell, words) == offered


def test_the_root_of_the_command_line_counts(root: Path, tmp_path: Path):
    shutil.copytree(root / "lab", tmp_path / "else" / "mine")
    found = completed("bash", f"usr --root {tmp_path}/else head mi")
    assert found == {"mine/other"}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An empty home, with usr on the path."""
    folder = tmp_path / "home"
    (folder / "bin").mkdir(parents=True)
    script = folder / "bin" / "usr"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m usr_nb.cli.main "$@"\n')
    script.chmod(0o755)
    return env(HOME=str(folder), PATH=f"{folder}/bin:{os.environ['PATH']}")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_documented_command_installs_completion_for_bash(root: Path, home: dict[str, str]):
    install = 'usr --install-completion && . "$HOME/.bashrc"'
    ask = "COMP_WORDS=(usr head dens); COMP_CWORD=2; _usr_completion usr; echo ${COMPREPLY[@]}"
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{install} >/dev/null && {ask}"], env=home, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "densegen/demo"


def test_the_command_is_documented():
    for page in ("docs/cli.md", "README.md"):
        assert "usr --install-completion" in (ROOT / page).read_text("utf-8"), page
