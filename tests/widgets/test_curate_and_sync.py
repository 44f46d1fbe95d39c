"""The curate and the sync panel without a browser, and the review they stand on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from tests.dataset.kit import IDS, cells, new_dataset, new_root, raw_events, tree
from tests.sync.beds import StandIn, standin  # noqa: F401 - a fixture
from tests.widgets.test_writing import ask, confirm, finish, good
from usr_nb import Dataset, RecordNotFound, ValidationError, register_namespace
from usr_nb.analysis.review import Decision, Review
from usr_nb.sync import remotes
from usr_nb.widgets.curate import CuratePanel
from usr_nb.widgets.sync import SyncPanel


@pytest.fixture
def ds(tmp_path):
    made = new_dataset(new_root(tmp_path))
    made.write_overlay("m", [{"id": i, "n": float(k)} for k, i in enumerate(IDS)])
    made.tombstone(IDS[5])
    return made


def decision(i, field, value):
    return {"id": IDS[i], "field": field, "value": value}


def test_records_come_with_state_and_values_and_the_list_stays_while_one_decides(ds):
    with Review(ds, "qc_status is null") as review:
        assert review.total == 5
        first = review.records(0, 2, ["m__n"])
        assert [(r["id"], r["values"]) for r in first] == [
            (IDS[0], {"m__n": 0.0}), (IDS[1], {"m__n": 1.0}),
        ]  # fmt: skip
        review.decide([Decision(IDS[0], "qc_status", "fail"), Decision(IDS[0], "masked", True)])
        assert review.total == 5, "records would jump"
        assert review.records(0, 1)[0]["state"]["qc_status"] == "fail"
        tally = review.tally()
        assert (tally.qc, tally.masked) == ({"": 4, "fail": 1}, 1)
        assert review.place_of("3") == 2
        assert review.place_of(IDS[3][:9]) == 3
        with pytest.raises(RecordNotFound):
            review.place_of(IDS[5])
        review.refresh()
        assert review.total == 4
        with pytest.raises(ValidationError):
            review.records(0, 51)


def test_a_batch_is_one_event_once_and_its_undo_another(ds):
    widget = CuratePanel(ds)
    events = len(raw_events(ds))
    batch = [decision(0, "qc_status", "pass"), decision(1, "qc_status", "fail"),
             decision(1, "split", "test"), decision(0, "qc_status", "warn")]  # fmt: skip
    saved = good(widget, "save", token="t1", decisions=batch, reason="looked at")
    assert (saved["rows"], saved["receipts"], saved["tally"]["qc"]) == (
        2, 1, {"": 3, "fail": 1, "warn": 1},
    )  # fmt: skip
    after = tree(ds.root)
    again = ask(widget, "save", token="t1", decisions=batch)
    assert again["error"]["type"] == "UsedPlanError"
    assert tree(ds.root) == after
    told = [e for e in raw_events(ds)[events:] if e["action"] == "state_set"]
    assert [e["args"].get("reason") for e in told] == ["looked at"]
    back = [decision(0, "qc_status", ""), decision(1, "qc_status", ""), decision(1, "split", "")]
    good(widget, "save", token="t2", decisions=back, undoes=saved["operation_id"])
    assert raw_events(ds)[-1]["args"]["undoes"] == saved["operation_id"]
    assert {s["qc_status"] for s in ds.get_state(IDS)} == {None}


@pytest.mark.parametrize(
    "decisions",
    [
        [{"id": IDS[0], "field": "qc_status", "value": "great"}],
        [{"id": IDS[0], "field": "masked", "value": "yes"}],
        [{"id": "f" * 40, "field": "split", "value": "test"}],
        [],
    ],
)
def test_what_is_unknown_saves_nothing(ds, decisions):
    before = tree(ds.root)
    reply = ask(CuratePanel(ds), "save", token="t", decisions=decisions)
    assert not reply["ok"]
    assert {p: d for p, d in tree(ds.root).items() if "_txn" not in p} == {
        p: d for p, d in before.items() if "_txn" not in p
    }


@pytest.mark.parametrize(
    ("asked", "button", "check"),
    [
        ({"what": "qc_status", "value": "fail"}, "Set qc_status fail for 3 records",
         lambda ds: [s["qc_status"] for s in ds.get_state(IDS[2:5])] == ["fail"] * 3),
        ({"what": "masked", "value": "true"}, "Set masked true for 3 records",
         lambda ds: all(s["masked"] for s in ds.get_state(IDS[2:5]))),
        ({"what": "delete", "reason": "bad batch"}, "Delete 3 records",
         lambda ds: cells(ds, "id") == IDS[:2]),
        ({"what": "delete", "id": IDS[0], "reason": "x"}, "Delete 1 record",
         lambda ds: cells(ds, "id") == IDS[1:5]),
        ({"what": "restore", "id": IDS[5]}, "Restore 1 record",
         lambda ds: cells(ds, "id") == IDS),
    ],
)  # fmt: skip
def test_all_that_are_reviewed_go_through_a_plan_with_the_count(ds, asked, button, check):
    widget = CuratePanel(ds, where="m__n >= 2")
    before = tree(ds.root)
    plan = good(widget, "plan", **asked)["plan"]
    assert plan["button"] == button
    assert tree(ds.root) == before
    planned = eval(plan["python"].removesuffix(".apply()"), {"ds": ds})
    assert planned.counts == plan["counts"]
    confirm(widget, plan)
    assert finish(widget)["state"] == "done"
    assert check(ds)
    assert confirm(widget, plan)["error"]["type"] == "UsedPlanError"


def test_a_filter_is_a_line_and_a_bad_one_a_typed_reply(ds):
    widget = CuratePanel(ds)
    assert good(widget, "place")["total"] == 5
    assert good(widget, "filter", line="m__n > 2.5")["total"] == 2
    assert ask(widget, "filter", line="m__n >")["error"]["type"] == "FilterSyntaxError"
    assert good(widget, "place")["total"] == 2, "the last good one stays"
    assert "decides: 3.0" in good(widget, "why", id=IDS[3], column="m__n")["text"]


MOVES = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["pass", "fail", ""])), min_size=1, max_size=12
)


@settings(max_examples=10)
@given(MOVES)
def test_the_last_decision_of_a_record_counts(moves):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        made = new_dataset(new_root(Path(folder)))
        widget = CuratePanel(made)
        batch = [decision(i, "qc_status", v) for i, v in moves]
        good(widget, "save", token="t", decisions=batch)
        wanted = dict(moves)
        said = [s["qc_status"] for s in made.get_state(IDS[:5])]
        assert said == [wanted.get(i) or None for i in range(5)]


# Sync -------------------------------------------------------------------------------------------


@pytest.fixture
def lab(standin: StandIn, tmp_path, monkeypatch) -> Dataset:  # noqa: F811 - the fixture
    """A dataset here, and its copy at the remote `lab`."""
    monkeypatch.setenv("USR_REMOTES_PATH", str(tmp_path / "remotes.yaml"))
    remotes.add(standin.remote())
    made = new_dataset(new_root(tmp_path / "here"))
    made.sync_plan("lab").apply("push")
    register_namespace(standin.base, namespace="lab", columns="lab__z:int64")
    there = Dataset.open(standin.base, "ns/demo")
    there.write_overlay("lab", [{"id": IDS[0], "z": 1}])
    return made


def look(widget, **asked):
    good(widget, "look", remote="lab", **asked)
    widget._look.wait(60)
    return good(widget, "looked")


def test_the_difference_comes_first_and_a_pull_is_confirmed_once(lab):
    widget = SyncPanel(lab)
    assert good(widget, "place")["remotes"] == ["lab"]
    assert ask(widget, "plan", direction="pull")["data"]["refused"]["message"]
    before = tree(lab.dir)
    found = look(widget)["found"]
    assert (found["state"], found["push"]["nothing"]) == ("behind", True)
    assert any("1 part only there" in line for line in found["pull"]["lines"])
    assert {p: d for p, d in tree(lab.dir).items() if "_txn" not in p} == {
        p: d for p, d in before.items() if "_txn" not in p
    }
    plan = good(widget, "plan", direction="pull")["plan"]
    assert plan["python"] == "ds.plan_pull('lab').apply()"
    confirm(widget, plan)
    done = finish(widget)
    assert (done["state"], done["receipt"]["counts"]["files_added"] > 0) == ("done", True)
    assert cells(lab, "lab__z")[0] == 1
    assert confirm(widget, plan)["error"]["type"] == "UsedPlanError"
    assert lab.outcome(plan["token"]).is_in
    assert look(widget)["found"]["state"] == "same"


def test_a_side_that_changed_since_is_refused_and_nothing_is_installed(lab, standin):  # noqa: F811
    widget = SyncPanel(lab)
    look(widget)
    plan = good(widget, "plan", direction="push")["plan"]
    assert not plan["writes"]
    pull = good(widget, "plan", direction="pull")["plan"]
    there = Dataset.open(standin.base, "ns/demo")
    with there.maintenance(reason="t"):
        there.materialize(keep_overlays=False)
    before = cells(lab, "id"), raw_events(lab)
    confirm(widget, pull)
    done = finish(widget)
    assert done["state"] == "failed"
    assert done["error"]["type"] in {"StalePlanError", "TransferError"}, "the part is gone there"
    assert (cells(lab, "id"), raw_events(lab)) == before
    assert "lab__z" not in lab.schema().names


def test_an_unknown_remote_is_a_typed_answer(lab):
    widget = SyncPanel(lab)
    good(widget, "look", remote="nowhere")
    widget._look.wait(60)
    assert good(widget, "looked")["error"]["type"] == "RemoteConfigError"
