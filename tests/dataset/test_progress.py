"""Long operations say how far they are; a listener changes nothing, or cancels everything."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.dataset.kit import new_dataset, new_root, tree, values
from usr_nb import Dataset, Progress, UserAbort, merge_datasets, reporting
from usr_nb.contract import progress
from usr_nb.dataset import spill
from usr_nb.readers import delimited, fasta

LETTERS = "ACGT"
ROWS = 40


def sequence(n: int) -> str:
    return "".join(LETTERS[(n >> s) & 3] for s in range(0, 16, 2))


@pytest.fixture(autouse=True)
def fine_grained(monkeypatch: pytest.MonkeyPatch):
    """Every report is told, and small files are read in many blocks."""
    monkeypatch.setattr(progress, "CALLS_PER_SECOND", 1e9)
    monkeypatch.setattr(spill, "IN_MEMORY_ROWS", 8)
    monkeypatch.setattr(delimited, "_BLOCK", 64)
    monkeypatch.setattr(fasta, "_CHUNK", 64)


@dataclass(frozen=True)
class Case:
    """An operation on the prepared root, and the stages that it reports at least."""

    run: Callable[[Dataset, Path], Any]
    stages: set[str]
    writes: bool = True


def importing(name: str, **how: Any) -> Callable[[Dataset, Path], Any]:
    return lambda ds, files: ds.import_file(files / name, **how)


def in_maintenance(call: Callable[[Dataset], Any]) -> Callable[[Dataset, Path], Any]:
    def run(ds: Dataset, _: Path) -> Any:
        with ds.maintenance(reason="test"):
            return call(ds)

    return run


def overlay(ds: Dataset) -> Any:
    return ds.head(ROWS, ["id"]).assign(k__x=2.5)


CASES = {
    "import csv": Case(importing("new.csv"), {"reading", "reading id", "writing"}),
    "import csv, gzip": Case(importing("new.csv.gz"), {"reading", "reading id", "writing"}),
    "import jsonl": Case(importing("new.jsonl"), {"looking at types", "reading", "writing"}),
    "import fasta": Case(importing("new.fasta", keep="names"), {"reading", "writing"}),
    "import table": Case(lambda ds, _: ds.import_rows(["GGGGGGGG", "GGGGGGGC"]), {"writing"}),
    "dry run": Case(lambda ds, f: ds.import_report(f / "new.csv"), {"reading"}, writes=False),
    "attach": Case(
        lambda ds, f: ds.attach(f / "more.csv", "k", key="sequence"),
        {"reading", "reading sequence", "writing"},
    ),
    "write_overlay": Case(lambda ds, _: ds.write_overlay("k", overlay(ds)), {"reading", "writing"}),
    "write_overlay_part": Case(
        lambda ds, _: ds.write_overlay_part("k", overlay(ds)), {"reading", "writing"}
    ),
    "materialize": Case(
        in_maintenance(lambda ds: ds.materialize(snapshot_before=True)),
        {"copying", "reading overlays", "writing"},
    ),
    "compact": Case(in_maintenance(lambda ds: ds.compact_overlay("m")), {"writing"}),
    "dedupe": Case(
        in_maintenance(lambda ds: ds.dedupe("sequence_ci")), {"reading sequence", "writing"}
    ),
    "merge": Case(
        lambda ds, _: merge_datasets(
            ds.root, dest=ds.name, src="ns/other", carry_namespace="k",
            if_duplicate="prefer-src",
        ),
        {"reading id", "copying", "writing"},
    ),
    "snapshot": Case(lambda ds, _: ds.snapshot(), {"copying"}),
    "export csv": Case(lambda ds, f: ds.export("csv", f / "out.csv"), {"exporting"}),
    "export parquet": Case(lambda ds, f: ds.export("parquet", f / "o.parquet"), {"exporting"}),
    "export fasta": Case(lambda ds, f: ds.export("fasta", f / "out.fa"), {"exporting"}),
    "describe": Case(lambda ds, _: ds.describe(), {"reading"}, writes=False),
    "validate": Case(lambda ds, _: ds.validate(), {"checking rows"}, writes=False),
}  # fmt: skip


def prepare(folder: Path) -> tuple[Dataset, Path]:
    """A dataset with parts, a tombstone and rows that repeat; a second one; files to read."""
    root = new_root(folder / "root")
    ds = new_dataset(root, sequences=[sequence(n) for n in range(ROWS)] + [sequence(3).lower()])
    ids = [str(i) for i in ds.head(ROWS, ["id"])["id"]]
    for part in (ids[:20], ids[10:]):
        ds.write_overlay_part("m", [{"id": i, "m__n": 1.5} for i in part])
    ds.tombstone(ids[:1])
    other = new_dataset(root, "ns/other", [sequence(n) for n in range(ROWS - 5, ROWS + 5)])
    other.write_overlay("k", overlay(other))
    files = folder / "files"
    files.mkdir()
    new = [sequence(n) for n in range(100, 130)]
    text = "".join(f"{s}\n" for s in ["sequence", *new])
    (files / "new.csv").write_text(text)
    (files / "new.csv.gz").write_bytes(gzip.compress(text.encode()))
    (files / "new.jsonl").write_text("".join(f'{{"sequence": "{s}"}}\n' for s in new))
    (files / "new.fasta").write_text("".join(f">r{i}\n{s}\n" for i, s in enumerate(new)))
    more = "".join(f"{sequence(n)},{n}.5\n" for n in range(1, 20))
    (files / "more.csv").write_text(f"sequence,x\n{more}")
    return ds, files


def told(run: Callable[[], Any]) -> tuple[Any, list[Progress]]:
    seen: list[Progress] = []
    with reporting(seen.append):
        return run(), seen


def timeless(result: Any) -> str:
    """A result as text, without what differs between two runs in two folders."""
    return re.sub(
        r"datetime\.datetime\([^)]*\)|\d{8}T\d{12}Z?(-[0-9a-f]{32})?|/[ab]/", "", repr(result)
    )


@pytest.mark.parametrize("name", sorted(CASES))
def test_CLI_2_every_stage_reaches_its_total_and_results_are_the_same(name: str, tmp_path: Path):
    case = CASES[name]
    ds, files = prepare(tmp_path / "a")
    same, others = prepare(tmp_path / "b")
    result, seen = told(lambda: case.run(ds, files))
    silent = case.run(same, others)
    assert timeless(result) == timeless(silent)
    ours, theirs = values(ds), values(same)
    for times in ("created_at", "source"):  # The source is the path.
        del ours[times], theirs[times]
    assert ours == theirs
    stages = {p.stage for p in seen}
    assert stages >= case.stages, stages
    for stage in stages:
        mine = [p for p in seen if p.stage == stage]
        assert mine[-1].done == mine[-1].total
        assert all(p.total is None or 0 <= p.done <= p.total for p in mine)
        assert len({p.unit for p in mine}) == 1
    if "reading" in case.stages and name.startswith("import csv"):
        whole = (files / ("new.csv.gz" if "gzip" in name else "new.csv")).stat().st_size
        assert {p.total for p in seen if p.stage == "reading"} == {whole}


@pytest.mark.parametrize("name", sorted(CASES))
def test_CLI_2_a_listener_that_raises_leaves_the_state_before(name: str, tmp_path: Path):
    case = CASES[name]
    ds, files = prepare(tmp_path)
    # What was registered for `keep` stays registered, as after a crash at that point.
    if "keep" in name or name == "import fasta":
        with pytest.raises(UserAbort):
            stop_at(999, lambda: case.run(ds, files), stage="writing")
    before = tree(tmp_path)
    for at in range(1000):
        try:
            stop_at(at, lambda: case.run(ds, files))
        except UserAbort:
            assert tree(tmp_path) == before, f"cancelled at report {at}"
            assert not list((tmp_path / "root").rglob(".tmp-*"))
        else:
            break
    assert at >= len(case.stages)
    assert (tree(tmp_path) != before) == case.writes
    ds.validate()


def stop_at(n: int, run: Callable[[], Any], *, stage: str | None = None) -> None:
    """Cancel at the n-th report (0-based), or when a stage begins."""
    count = 0

    def listen(p: Progress) -> None:
        nonlocal count
        count += 1
        if count == n + 1 or p.stage == stage:  # Once: later reports must not be needed.
            raise UserAbort("enough")

    with reporting(listen):
        run()


def test_reports_are_throttled_but_ends_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "CALLS_PER_SECOND", 20)
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    seen: list[Progress] = []
    with reporting(seen.append):
        for n in range(1001):
            now[0] = n / 1000
            progress.report("reading", n, 1000)
        progress.report("writing", 0, 5)
        progress.report("writing", 1, 5)
        progress.report("writing", 5, 5)
    reading = [p for p in seen if p.stage == "reading"]
    assert 20 <= len(reading) <= 22
    assert (reading[0].done, reading[-1].done) == (0, 1000)
    assert [p.done for p in seen if p.stage == "writing"] == [0, 5]


def test_the_innermost_listener_hears_and_a_listener_is_not_told_of_itself(ds: Dataset):
    outer: list[Progress] = []
    inner: list[Progress] = []

    def listen(p: Progress) -> None:
        inner.append(p)
        ds.describe()

    with reporting(outer.append):
        with reporting(listen):
            ds.describe(["id"])
        heard = len(inner)
        with reporting(None):
            ds.describe()
        assert outer == []
        ds.describe()
    assert len(inner) == heard > 0
    assert outer
    done = len(outer)
    ds.describe()
    assert len(outer) == done


def test_other_threads_are_not_heard(ds: Dataset):
    seen: list[Progress] = []
    with reporting(seen.append):
        thread = threading.Thread(target=ds.describe)
        thread.start()
        thread.join()
    assert seen == []
