"""The history against the events that the library itself reads."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pyarrow as pa
import pytest

from usr_nb import Dataset, ValidationError, register_namespace
from usr_nb.analysis import history as module
from usr_nb.analysis.history import EventFilter, EventHistory, history, read_head
from usr_nb.analysis.sentences import sentence
from usr_nb.contract.events import ACTIONS, encode_event

PARTS = 7


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("history")
    register_namespace(root, namespace="evo2", columns="evo2__llr:float64")
    ds = Dataset.open(root, "lab/log")
    ds.init(source="test")
    texts = [f"ACGT{'ACGT' * (i % 5)}{'A' * i}" for i in range(40)]
    ds.add_sequences([{"sequence": t} for t in texts], bio_type="dna", alphabet="dna_4")
    ids = ds.head_table(40, ["id"])["id"].to_pylist()
    for i in range(PARTS):
        ds.write_overlay_part(
            "evo2", pa.table({"id": ids[i * 5 : i * 5 + 5], "llr": [0.5 * i] * 5}),
            actor={"tool": "evo2", "run_id": "job 12"},
        )  # fmt: skip
        if i == 3:
            ds.tombstone([ids[0]], reason="contaminated <b>")
    ds.set_state(ids[1:4], qc_status="pass")
    return ds


@pytest.fixture
def log(made, tmp_path):
    """A copy of the dataset whose log may be written to."""
    shutil.copytree(made.root, tmp_path / "root")
    return Dataset.open(tmp_path / "root", "lab/log")


def test_EVT_5_items_are_the_events_newest_first_with_runs_folded(made):
    page = history(made)
    events = made.events()
    assert page.exact
    assert page.all_events == page.events == len(events)
    run = [
        e for e in events if e["actor"]["run_id"] == "job 12" and e["action"] != "registry_freeze"
    ]
    assert len(run) == PARTS
    [folded] = [i for i in page.items if i.parts > 1]
    assert folded.sentence == f"evo2 +{5 * PARTS} rows in {PARTS} parts"
    assert (folded.since, folded.at) == (run[0]["timestamp_utc"], run[-1]["timestamp_utc"])
    assert page.total == len(page.items) == len(events) - PARTS + 1
    assert [i.line for i in page.items] == sorted((i.line for i in page.items), reverse=True)
    said = [i.sentence for i in page.items]
    assert said[0] == "set qc_status=pass of 3 records"
    assert "deleted 1 record: contaminated <b>" in said
    assert "+40 records" in said
    assert said[-1] == "created the dataset"


def test_parts_are_numbered(made):
    log = EventHistory(made)
    [folded] = [i for i in history(made).items if i.parts > 1]
    parts = log.parts(folded.line)
    assert [p.sentence for p in parts][:2] == [
        "evo2 +5 rows, part 7 of 7",
        "evo2 +5 rows, part 6 of 7",
    ]
    with pytest.raises(ValidationError, match="log has changed"):
        log.parts(10_000)


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        (EventFilter(), lambda _: True),
        (
            EventFilter(actions=("tombstone", "init")),
            lambda e: e["action"] in {"tombstone", "init"},
        ),
        (EventFilter(actor="EVO2"), lambda e: e["actor"]["tool"] == "evo2"),
        (EventFilter(actor="job 12"), lambda e: e["actor"]["run_id"] == "job 12"),
        (EventFilter(text="contaminated"), lambda e: "contaminated" in json.dumps(e)),
        (EventFilter(text='"namespace":"evo2"'), lambda e: e["args"].get("namespace") == "evo2"),
        (EventFilter(actor="nobody"), lambda _: False),
    ],
)
def test_filters_fit_what_pandas_selects(made, wanted, fits):
    events = pd.Series(made.events())
    assert history(made, wanted=wanted).events == int(events.map(fits).sum())


def test_times_include_since_and_exclude_until(made):
    times = [e["timestamp_utc"] for e in made.events()]
    page = history(made, wanted=EventFilter(since=times[2], until=times[-1]))
    assert page.events == len(times) - 3


def test_pages_follow_each_other(made):
    whole = history(made, count=100).items
    log = EventHistory(made)
    log.actions()
    assert sum((log.page(start=n, count=2).items for n in range(0, 20, 2)), ()) == whole
    assert log.page(start=500).items == ()
    with pytest.raises(ValidationError):
        log.page(start=-1)


def test_GET_5_new_events_show_and_a_torn_line_does_not_until_it_is_whole(log):
    follow = EventHistory(log)
    before = follow.page().all_events
    assert not follow.refresh()
    line = encode_event({**log.events()[-1], "action": "my.step", "artifacts": {}, "metrics": {}})
    with log.events_path.open("ab") as f:
        f.write(line[:40])
        f.flush()
        follow.refresh()
        assert follow.page().all_events == before
        f.write(line[40:])
    assert follow.refresh()
    assert follow.page().items[0].sentence == "my.step"
    # A fragment that stays, and text that is no event: passed over, without an error.
    with log.events_path.open("ab") as f:
        f.write(line[:90] + b"\n" + b"hello\n" + line.replace(b"my.step", b"my.other"))
    assert follow.page().items[0].sentence == "my.other"
    assert follow.page().all_events == before + 2 == len(log.events())


def test_EVT_5_a_repeated_line_counts_once_and_a_new_log_starts_over(log):
    follow = EventHistory(log)
    assert follow.page().all_events == len(log.events())
    lines = log.events_path.read_bytes().splitlines(keepends=True)
    with log.events_path.open("ab") as f:
        f.write(lines[1])
    assert follow.page().all_events == len(lines)
    other = log.events_path.with_name("other")
    other.write_bytes(b"".join(lines[:3]))
    other.replace(log.events_path)
    assert follow.refresh()
    assert follow.page().all_events == 3
    log.events_path.unlink()
    assert follow.refresh()
    assert follow.page().items == ()


def test_events_of_other_tools_are_read_too(log):
    event = log.events()[2]
    with log.events_path.open("ab") as f:
        f.write(json.dumps({"action": "foreign", "x": [1]}).encode() + b"\n")
        f.write(json.dumps({**event, "artifacts": {}, "action": "spaced"}).encode() + b"\n")
    newest = history(log).items[:2]
    assert [i.action for i in newest] == ["spaced", "foreign"]
    assert newest[0].who == f"{event['actor']['tool']}@{event['actor']['host']}"


def test_what_is_read_from_a_line_is_what_it_decodes_to(made):
    for n, raw in enumerate(made.events_path.read_bytes().splitlines(keepends=True)):
        assert read_head(n, raw) == module._decoded_head(n, raw)


def test_the_first_page_of_a_long_log_comes_from_its_end(log, monkeypatch):
    monkeypatch.setattr(module, "_TAIL_BYTES", 2000)
    follow = EventHistory(log)
    first = follow.page()
    assert not first.exact
    assert first.total == -1
    assert first.items[0] == history(log).items[0]
    assert first.all_events == len(log.events())
    assert follow.page(start=1).exact
    assert follow.page().exact


def test_two_moments_are_compared_by_counts(made):
    log = EventHistory(made)
    events = made.events()
    found = log.compare(len(events) - 1, 0)
    assert found.before.rows == events[0]["fingerprint"]["rows"]
    assert found.after.rows == 40
    assert found.events == len(events) - 1
    counts = pd.Series([e["action"] for e in events[1:]]).value_counts().to_dict()
    assert found.actions == counts
    assert (found.records_added, found.records_deleted, found.written) == (40, 1, {"evo2": 35})
    with pytest.raises(ValidationError, match="no line"):
        log.compare(0, 10_000)


@pytest.mark.parametrize("broken", [{}, {"args": 3, "metrics": [1]}, {"metrics": {"rows": "x"}}])
def test_every_action_has_a_sentence_whatever_it_carries(broken):
    for action in [*sorted(ACTIONS), "somebody.else"]:
        assert sentence({"action": action, **broken})
