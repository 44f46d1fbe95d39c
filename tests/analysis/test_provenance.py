"""Where a value comes from, in steps and in lines."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.dataset.kit import IDS, new_dataset, new_root
from usr_nb import Dataset, ValidationError
from usr_nb.analysis.history import EventFilter, EventHistory
from usr_nb.analysis.provenance import setter_line, why_lines, why_steps


@pytest.fixture
def ds(tmp_path) -> Dataset:
    return new_dataset(new_root(tmp_path))


def score(ds: Dataset, record: str, value: float | None, tool: str) -> None:
    table = pa.table({"id": [record], "n": pa.array([value], pa.float64())})
    ds.write_overlay_part("m", table, actor={"tool": tool, "run_id": f"{tool}-1"})


def test_the_newest_part_decides_and_names_what_it_replaced(ds) -> None:
    score(ds, IDS[0], 1.5, "first")
    score(ds, IDS[1], 9.0, "other")
    score(ds, IDS[0], None, "second")
    found = ds.why(IDS[0], "m__n")
    steps = why_steps(found)
    assert [(s.role, s.decides, s.value) for s in steps] == [
        ("winner", True, None), ("shadowed", False, "1.5"),
    ]  # fmt: skip
    assert [s.who.rpartition(" · ")[2] for s in steps] == ["run second-1", "run first-1"]
    assert steps[0].did.startswith("m +1 rows")
    lines = why_lines(found)
    assert lines[0] == f"m__n of {IDS[0][:8]} is null"
    assert lines[1].startswith("  decides: null (_derived/m/part-")
    assert lines[2].startswith("  replaced: 1.5 (_derived/m/part-")


def test_behind_a_compaction_and_a_materialize_stands_who_set_it(ds) -> None:
    score(ds, IDS[0], 1.5, "first")
    score(ds, IDS[0], 2.5, "second")
    with ds.maintenance("tidy"):
        ds.compact_overlay("m")
    found = ds.why(IDS[0], "m__n")
    roles = [s.role for s in why_steps(found)]
    assert roles == ["winner", "earlier", "earlier"]
    assert why_steps(found)[1].gone.startswith("compacted m")
    assert "second-1" in setter_line(found)
    with ds.maintenance("tidy"):
        ds.materialize()
    found = ds.why(IDS[0], "m__n")
    assert [(s.role, s.decides) for s in why_steps(found)][:2] == [
        ("winner", True), ("base", False),
    ]  # fmt: skip


def test_state_and_tombstones_are_told_like_any_cell(ds) -> None:
    ds.set_state(IDS[0], split="train")
    ds.tombstone(IDS[1], reason="bad")
    [step] = why_steps(ds.why(IDS[0], "usr_state__split"))
    assert (step.value, step.did) == ('"train"', "set split=train of 1 record")
    [step] = why_steps(ds.why(IDS[1], "usr__deleted"))
    assert (step.value, step.path) == ("true", "_derived/usr.parquet")


def test_the_history_of_a_record_is_that_of_the_library(ds) -> None:
    for i in (0, 1, 0):
        score(ds, IDS[i], float(i), "evo2")
    log = EventHistory(ds)
    page = log.page(wanted=EventFilter(record=IDS[0][:8]))
    assert page.events == len(ds.history(touching=IDS[0])) == 3
    assert page.all_events == len(ds.events())
    for wrong in ("m", "short", "G" * 40, IDS[0] + "0"):
        with pytest.raises(ValidationError, match="is no id"):
            log.page(wanted=EventFilter(record=wrong))
