"""The curate and the sync panel without a browser, and the review they stand on."""

from __future__ import annotations

from threading import Event

import pytest
from hypothesis import given, settings, strategies as st

from tests.dataset.kit import IDS, cells, new_dataset, new_root, raw_events, tree
from tests.sync.beds import StandIn, standin  # noqa: F401 - a fixture
from tests.widgets.test_writing import ask, confirm, finish, good
from usr_nb import Dataset, RecordNotFound, ValidationError, register_namespace
from usr_nb.analysis.review import Decision, Review
from usr_nb.dataset.plans.records import RecordsPlan
from usr_nb.sync import deliver, remotes
from usr_nb.sync.api import SyncPlan
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


def save(widget, token, **asked):
    """Save a batch and wait for its end, as the front end does; returns what is said of it."""
    good(widget, "save", token=token, **asked)
    widget._saves[token][0].wait(30)
    return good(widget, "saved", token=token)


ONE, TWO = "1" * 16, "2" * 16


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
    saved = save(widget, ONE, decisions=batch, reason="looked at")
    assert (saved["rows"], saved["receipts"], saved["tally"]["qc"]) == (
        2, 1, {"": 3, "fail": 1, "warn": 1},
    )  # fmt: skip
    after = tree(ds.root)
    again = ask(widget, "save", token=ONE, decisions=batch)
    assert again["error"]["type"] == "UsedPlanError"
    assert tree(ds.root) == after
    told = [e for e in raw_events(ds)[events:] if e["action"] == "state_set"]
    assert [e["args"].get("reason") for e in told] == ["looked at"]
    back = [decision(0, "qc_status", ""), decision(1, "qc_status", ""), decision(1, "split", "")]
    save(widget, TWO, decisions=back, undoes=saved["operation_id"])
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
    widget = CuratePanel(ds)
    reply = ask(widget, "save", token=ONE, decisions=decisions)
    if reply["ok"]:  # Whether an id exists is seen in the thread.
        widget._saves[ONE][0].wait(30)
        reply = {"error": good(widget, "saved", token=ONE)["error"]}
    assert reply["error"]["type"] in {"ValidationError", "RecordNotFound"}
    assert widget.last_receipt is None
    assert {p: d for p, d in tree(ds.root).items() if "_txn" not in p} == {
        p: d for p, d in before.items() if "_txn" not in p
    }


def test_records_are_shown_while_a_batch_is_saved_and_its_plan_is_found_by_its_token(
    ds, monkeypatch
):
    widget = CuratePanel(ds)
    begun, go = Event(), Event()
    plan_states = type(ds).plan_states

    def slow(*args, **kwargs):
        begun.set()
        assert go.wait(30)
        return plan_states(*args, **kwargs)

    monkeypatch.setattr(type(ds), "plan_states", slow)
    asked = {"decisions": [decision(0, "qc_status", "pass")]}
    assert good(widget, "save", token=ONE, **asked)["state"] == "running"
    assert begun.wait(30)
    assert good(widget, "page", start=1, count=1)["records"][0]["id"] == IDS[1]
    assert good(widget, "saved", token=ONE)["state"] == "running"
    assert ask(widget, "save", token=ONE, **asked)["error"]["type"] == "UsedPlanError"
    assert not ds.outcome(ONE).is_in
    # What is decided meanwhile comes after it.
    good(widget, "save", token=TWO, decisions=[decision(0, "qc_status", "fail")])
    go.set()
    for token in (ONE, TWO):
        widget._saves[token][0].wait(30)
        assert good(widget, "saved", token=token)["state"] == "done"
    assert good(widget, "saved", token=ONE)["receipts"] == 2, "asked again, shown as it is now"
    assert good(widget, "page", start=0, count=1)["records"][0]["state"]["qc_status"] == "fail"
    assert [ds.outcome(t).is_in for t in (ONE, TWO)] == [True, True]
    assert ask(widget, "saved", token="4" * 16)["error"]["type"] == "ValidationError"


def test_a_save_between_whose_plan_and_commit_somebody_writes_is_planned_anew(ds, monkeypatch):
    widget = CuratePanel(ds)
    apply, others = RecordsPlan.apply, [IDS[1], IDS[2]]

    def interrupted(plan, **kwargs):
        if others:
            other = others.pop()
            monkeypatch.setattr(RecordsPlan, "apply", apply)
            ds.set_state(other, qc_status="warn")
            monkeypatch.setattr(RecordsPlan, "apply", interrupted)
        return apply(plan, **kwargs)

    monkeypatch.setattr(RecordsPlan, "apply", interrupted)
    done = save(widget, ONE, decisions=[decision(0, "qc_status", "pass")])
    assert (done["state"], done["tally"]["qc"]) == ("done", {"": 2, "pass": 1, "warn": 2})


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
        save(widget, ONE, decisions=batch)
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


class Killed(BaseException):
    """In the place of a kill: nothing cleans up after it."""


@pytest.mark.parametrize("moment", ["before", "after", "settled"])
def test_SYN_what_came_of_a_push_that_was_cut_the_remote_can_say(lab, standin, monkeypatch, moment):  # noqa: F811
    lab.write_overlay_part("m", [{"id": IDS[0], "n": 5.0}])
    plan = lab.plan_push("lab")
    with monkeypatch.context() as patch:

        def die(*_):
            raise Killed

        if moment == "before":
            patch.setattr(deliver, "_install", die)
        else:
            patch.setattr(SyncPlan, "_remember", die)
        with pytest.raises(Killed):
            plan.apply()
    before = tree(lab.dir)
    calls = standin.log.read_text()
    found = lab.outcome(plan.token)
    assert (found.is_in, found.remote) == (None, "lab"), "this copy cannot know"
    widget = SyncPanel(lab)
    assert good(widget, "outcome", token=plan.token)["is_in"] is None
    assert standin.log.read_text() == calls, "nothing was asked over the network"
    if moment == "settled":
        # The next push finds it done, and remembers whose it was.
        lab.sync_plan("lab").apply("push")
        found = lab.outcome(plan.token)
        assert (found.is_in, found.action, found.remote) == (True, "push", "lab")
        return
    good(widget, "ask", token=plan.token, remote="lab")
    widget._ask.wait(60)
    told = good(widget, "asked")["found"]
    assert (told["is_in"], told["remote"]) == (moment == "after", "lab")
    there = Dataset.open(standin.base, "ns/demo")
    assert [e["args"].get("plan") for e in raw_events(there) if e["action"] == "push"] == [
        None, *([plan.token] if moment == "after" else []),
    ]  # fmt: skip
    assert tree(lab.dir) == before, "asking writes nothing"
    lab.plan_push("lab").apply()
    assert cells(there, "m__n")[0] == 5.0


def test_SYN_a_push_is_remembered_here_and_a_strange_token_asks_nothing(lab):
    lab.write_overlay_part("m", [{"id": IDS[0], "n": 5.0}])
    plan = lab.plan_push("lab")
    assert lab.outcome(plan.token).is_in is False, "not begun"
    done = plan.apply()
    found = lab.outcome(plan.token)
    assert (found.is_in, found.operation_id) == (True, done.operation_id)
    assert lab.outcome("0" * 16, remote="lab").is_in is False
    widget = SyncPanel(lab)
    good(widget, "ask", token="'; rm -rf /", remote="lab")
    widget._ask.wait(60)
    assert good(widget, "asked")["error"]["type"] == "ValidationError"
