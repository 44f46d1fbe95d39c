"""Running `usr` in this process, and seeing which files a command changed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from usr_nb import Dataset, register_namespace
from usr_nb.cli.main import main
from usr_nb.tools.densegen.survey import TYPES

ROOT = Path(__file__).resolve().parents[2]
MATERIAL = ROOT / "demo_material"
#: Locks and commit slots change with every commit and hold nothing of their own.
MACHINERY = {"_txn", ".usr.lock"}


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The data of the JSON envelope; NaN and the like are an error here."""
        envelope = json.loads(self.out, parse_constant=_refuse)
        assert list(envelope) == ["usr_output_version", "data"]
        assert envelope["usr_output_version"] == 1
        return envelope["data"]


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is no strict JSON")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def run(*argv: object, answers: str | None = None, tty: bool = False) -> Result:
    """Run one command line; `answers` are typed at a terminal, `tty` makes stdout one too."""
    out = Terminal() if tty else io.StringIO()
    err = Terminal() if answers is not None else io.StringIO()
    typed = Terminal(answers) if answers is not None else io.StringIO()
    before = sys.stdin
    sys.stdin = typed
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(a) for a in argv])
    finally:
        sys.stdin = before
    return Result(code, out.getvalue(), err.getvalue())


def digests(folder: Path) -> dict[str, str]:
    """Return path -> digest of every file below a folder that means something."""
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not MACHINERY & set(p.relative_to(folder).parts)
    }


@dataclass
class Change:
    """Which files came, went or got other content; parts and stamps by the shape of their name."""

    added: set[str]
    removed: set[str]
    altered: set[str]

    def from_inside(self, folder: str) -> Change:
        """The same, with paths as they are written from within a folder."""

        def moved(path: str) -> str:
            rest = path.removeprefix(f"{folder}/")
            return rest if rest != path else f"../{path}"

        return Change(*({moved(p) for p in s} for s in (self.added, self.removed, self.altered)))

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.altered)


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[Change]:
    """Fill in what changed below a folder while the block ran."""
    before, change = digests(folder), Change(set(), set(), set())
    yield change
    after = digests(folder)
    change.added |= set(after) - set(before)
    change.removed |= set(before) - set(after)
    change.altered |= {p for p in set(before) & set(after) if before[p] != after[p]}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the quickstart's dataset, a second one, and a namespace that has no data."""
    root = tmp_path_factory.mktemp("template") / "datasets"
    register_namespace(
        root, namespace="quickstart",
        columns="X_value:list<float64>,intensity_log2_offset_delta:float64",
    )  # fmt: skip
    register_namespace(root, namespace="evo2", columns="score:float64", owner="lab")
    register_namespace(
        root, namespace="demo", columns="x_representation:list<float32>,label_vec8:list<float32>"
    )
    spec = ",".join(f"{name}:{text}" for name, text in TYPES.items())
    register_namespace(root, namespace="densegen", columns=spec)
    ds = Dataset.open(root, "densegen/demo")
    ds.init(source="test")
    ds.import_csv(MATERIAL / "demo_sequences.csv", source="demo_sequences.csv")
    for name, column in (
        ("demo_attachment_one.csv", "X_value"),
        ("demo_y_sfxi.csv", "intensity_log2_offset_delta"),
    ):
        ds.attach(MATERIAL / name, "quickstart", key="sequence", key_col="sequence",
                  columns=[column], allow_missing=True)  # fmt: skip
    other = Dataset.open(root, "lab/other")
    other.init()
    other.add_sequences(["ACGTACGT", "TTTTACGT"], bio_type="dna", alphabet="dna_4")
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the template; the working folder is the one above it."""
    copy = tmp_path / "work" / "datasets"
    shutil.copytree(template, copy)
    monkeypatch.chdir(copy.parent)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return copy


@pytest.fixture
def demo(root: Path) -> Dataset:
    return Dataset.open(root, "densegen/demo")


@pytest.fixture
def ids(demo: Dataset) -> list[str]:
    return [str(i) for i in demo.head(5, ["id"])["id"]]
