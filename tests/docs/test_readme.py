"""The README works as written: both quickstarts run and give the same dataset; links and pictures
are there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from usr_nb import Dataset, load_registry
from usr_nb.tools.demo import build_demo

README = Path(__file__).resolve().parents[2] / "README.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)\)")


def blocks(text: str, language: str) -> list[str]:
    return [body for name, body in FENCED.findall(text) if name == language]


@pytest.fixture(scope="module")
def quickstart() -> str:
    return README.read_text().split("## Quickstart")[1].split("\n## ")[0]


@pytest.fixture
def run(tmp_path, repo):
    """Run a command in a copy of what the quickstart needs, with `usr` on the path."""

    def go(name: str, command: list[str]) -> subprocess.CompletedProcess[str]:
        folder = tmp_path / name
        shutil.copytree(repo / "demo_material", folder / "demo_material")
        clean = {k: v for k, v in os.environ.items() if not k.startswith("USR_")}
        # The package under test, wherever it is: mutants run in a copy of the checkout.
        env = {**clean, "PATH": f"{folder / 'bin'}{os.pathsep}{clean['PATH']}",
               "PYTHONPATH": str(repo), "PYTHONWARNINGS": "error"}  # fmt: skip
        usr = folder / "bin" / "usr"
        usr.parent.mkdir()
        code = "from usr_nb.cli.main import main; raise SystemExit(main())"
        usr.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
        usr.chmod(0o755)
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
        )

    return go


def facts(root: Path):
    ds = Dataset.open(root, "densegen/demo")
    table = pa.Table.from_batches(ds.scan()).drop_columns(["created_at"])
    base = ds.schema(include_overlays=False)
    return table, base, [e["action"] for e in ds.events()], load_registry(root)


def test_both_quickstarts_run_as_written_and_agree(quickstart, run, tmp_path):
    [shell], [python] = blocks(quickstart, "bash"), blocks(quickstart, "python")
    by_cli = run("cli", ["sh", "-euc", shell])
    assert by_cli.returncode == 0, by_cli.stdout + by_cli.stderr
    by_python = run("python", [sys.executable, "-c", python])
    assert by_python.returncode == 0, by_python.stdout + by_python.stderr
    one, two = facts(tmp_path / "cli/datasets"), facts(tmp_path / "python/datasets")
    assert one[0].num_rows == 36
    assert one[0]["quickstart__X_value"].null_count == 0
    assert one[0]["quickstart__intensity_log2_offset_delta"].null_count == 12
    assert one[0].equals(two[0])
    assert one[1:] == two[1:]
    # The folders that the README lists are there.
    [listing] = blocks(quickstart, "text")
    for line in listing.splitlines():
        assert (tmp_path / "cli/datasets" / line.split()[0]).exists(), line


def test_the_explorer_page_runs_as_written(repo, tmp_path):
    [code] = blocks((repo / "docs/explorer.md").read_text(), "python")
    build_demo(tmp_path / "demo")
    env = {**os.environ, "PYTHONPATH": str(repo)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=env, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout == "2,000 of 20,000 rows, seed 7; 519 match (25.9 %)\n", done.stderr


@pytest.mark.parametrize("page", ["README.md", "docs/explorer.md"])
def test_links_lead_somewhere(repo, page):
    folder = (repo / page).parent
    links = [t for t in LINK.findall((repo / page).read_text()) if "://" not in t]
    assert not [link for link in links if not (folder / link).exists()]


def test_the_promise_has_three_sentences_and_a_link_to_the_figures(repo):
    """It is that of the page which says how it is tested, word for word."""
    page = (repo / "docs/reliability.md").read_text().partition("**The promise.** ")[2]
    promise = " ".join(page.partition("\n\n")[0].split())
    assert promise.count(". ") + promise.endswith(".") == 3
    readme = " ".join((repo / "README.md").read_text().split())
    said = f"- {promise[:-1]}: [how that is tested, with the figures](docs/reliability.md)."
    assert readme.count(said) == 1
    assert "## The figures" in page


@pytest.mark.parametrize("name", ["explorer-light.png", "explorer-dark.png"])
def test_pictures_are_small(repo, name):
    data = (repo / "docs/pictures" / name).read_bytes()
    assert data.startswith(b"\x89PNG")
    assert len(data) < 300_000
