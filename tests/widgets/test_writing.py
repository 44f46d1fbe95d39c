"""Panels that write, without a browser: what may be confirmed, once, and what is refused."""

from __future__ import annotations

import base64
import threading

import pyarrow as pa
import pytest

from tests.dataset.kit import IDS, SEQUENCES, new_dataset, new_root, raw_events, tree, values
from usr_nb import panel
from usr_nb.widgets.attach import AttachPanel
from usr_nb.widgets.jobs import Job
from usr_nb.widgets.materialize import MaterializePanel


@pytest.fixture
def ds(tmp_path):
    made = new_dataset(new_root(tmp_path))
    made.write_overlay("m", pa.table({"id": IDS[:4], "n": [1.0, 2.0, None, 4.0]}))
    made.write_overlay_part("k", pa.table({"id": IDS[:2], "x": [0.5, 1.5]}))
    made.write_overlay_part("k", pa.table({"id": IDS[1:4], "x": [9.0, None, 2.0]}))
    return made


def ask(widget, op, **args):
    reply, _ = widget.answer({"kind": "request", "id": 1, "op": op, "args": args})
    return reply


def good(widget, op, **args):
    reply = ask(widget, op, **args)
    assert reply["ok"], reply
    return reply["data"]


def confirm(widget, plan):
    return ask(widget, "confirm", token=plan["token"], digest=plan["digest"])


def finish(widget):
    widget._job.wait(30)
    return good(widget, "job")


def csv(tmp_path, text):
    path = tmp_path / "in.csv"
    path.write_text(text)
    return str(path)


def asking(path, **more):
    return {"kind": "path", "source": path, "namespace": "lab", **more}


def test_showing_and_planning_write_nothing_and_one_confirmation_writes_once(ds, tmp_path):
    widget = AttachPanel(ds)
    path = csv(tmp_path, f"sequence,score\n{SEQUENCES[0]},1\n{SEQUENCES[1].lower()},2\nAAAA,3\n")
    before = tree(ds.root)
    assert good(widget, "place")["dataset"] == "ns/demo"
    plan = good(widget, "plan", **asking(path, missing=True))["plan"]
    shown = {k: plan[k] for k in ("incoming", "matched", "missing", "key", "button", "ready")}
    assert shown == {"incoming": 3, "matched": 2, "missing": 1, "key": "sequence_ci",
                     "button": "Attach 2 rows", "ready": True}  # fmt: skip
    assert tree(ds.root) == before
    events = len(raw_events(ds))
    assert confirm(widget, plan)["ok"]
    done = finish(widget)
    assert (done["state"], done["receipts"]) == ("done", 1)
    after = tree(ds.root)
    assert len(raw_events(ds)) == events + 2, "one attach, and the registry frozen beside it"
    assert [e["action"] for e in raw_events(ds)[events:]] == ["attach", "registry_freeze"]
    assert len(list((ds.dir / "_derived/lab").iterdir())) == 1
    # The button again, the page again, the cell again.
    again = confirm(widget, plan)
    assert (again["ok"], again["error"]["type"]) == (False, "UsedPlanError")
    assert good(widget, "job")["receipts"] == 1
    good(widget, "place")
    panel.attach(ds, source=path, namespace="lab")
    assert tree(ds.root) == after
    assert widget.last_receipt.counts["rows_matched"] == 2


def test_only_the_plan_that_is_shown_can_be_confirmed(ds, tmp_path):
    widget = AttachPanel(ds)
    path = csv(tmp_path, f"id,score\n{IDS[0]},1\n")
    first = good(widget, "plan", **asking(path))["plan"]
    second = good(widget, "plan", **asking(path, namespace="other"))["plan"]
    before = tree(ds.root)
    for plan in (first, {**second, "digest": first["digest"]}, {**second, "token": "0" * 16}):
        refused = confirm(widget, plan)
        assert refused["error"]["type"] == "StalePlanError"
    assert good(widget, "job")["state"] == "none"
    good(widget, "plan", **asking("/no/such.csv"))
    assert confirm(widget, second)["error"]["type"] == "StalePlanError", "it is shown no more"
    assert tree(ds.root) == before


def test_a_change_between_plan_and_confirm_is_refused_and_planned_again(ds, tmp_path):
    widget = AttachPanel(ds)
    path = csv(tmp_path, f"id,x\n{IDS[0]},1\n")
    asked = asking(path, namespace="k", overwrite=True)
    plan = good(widget, "plan", **asked)["plan"]
    ds.write_overlay_part("k", pa.table({"id": IDS[:1], "x": [7.0]}))
    before = values(ds)
    assert confirm(widget, plan)["ok"]
    done = finish(widget)
    assert (done["state"], done["error"]["type"]) == ("failed", "StalePlanError")
    assert values(ds) == before
    again = good(widget, "plan", **asked)["plan"]
    assert again["overwrites"][0]["before"] == 7.0
    confirm(widget, again)
    assert finish(widget)["state"] == "done"


def test_a_cancelled_write_leaves_the_state_and_a_kernel_knows_what_is_in(ds, monkeypatch):
    widget = MaterializePanel(ds)
    plan = good(widget, "plan", namespaces=[{"name": "k"}, {"name": "m"}])["plan"]
    begun, go = threading.Event(), threading.Event()
    tell = Job._tell

    def slow(self, progress):
        tell(self, progress)
        begun.set()
        go.wait(30)

    monkeypatch.setattr(Job, "_tell", slow)
    before, events = values(ds), raw_events(ds)
    assert confirm(widget, plan)["data"]["state"] == "running"
    assert begun.wait(30)
    assert good(widget, "job")["progress"]["stage"]
    assert confirm(widget, plan)["error"]["type"] == "UsedPlanError", "a double click"
    good(widget, "cancel", token=plan["token"])
    go.set()
    done = finish(widget)
    assert (done["state"], done["receipts"]) == ("cancelled", 0)
    assert (values(ds), raw_events(ds)) == (before, events)
    assert good(MaterializePanel(ds), "outcome", token=plan["token"])["is_in"] is False
    plan = good(widget, "plan", namespaces=[{"name": "k"}])["plan"]
    confirm(widget, plan)
    assert finish(widget)["state"] == "done"
    told = good(MaterializePanel(ds), "outcome", token=plan["token"])
    assert (told["is_in"], told["action"], told["counts"]["rows"]) == (True, "materialize", 6)


def test_an_outcome_is_known_before_the_log_tells_it(ds):
    from usr_nb.storage import slots

    plan = ds.plan_state(IDS[0], qc_status="pass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slots, "_finish", lambda stage: None)
        patch.setattr(slots.tidy, "tidy", lambda *a, **k: None)
        plan.apply()
    assert "state_set" not in [e["action"] for e in raw_events(ds)]
    assert ds.outcome(plan.token).is_in
    assert not ds.outcome("0" * 16).is_in


def test_what_goes_for_good_needs_the_datasets_name(ds):
    widget = MaterializePanel(ds)
    asked = {"namespaces": [{"name": "k"}], "overlays": "drop"}
    plan = good(widget, "plan", **asked)["plan"]
    assert (plan["ready"], plan["needs"]) == (False, "ns/demo")
    assert confirm(widget, plan)["error"]["type"] == "StalePlanError"
    plan = good(widget, "plan", **asked, typed="ns/demo")["plan"]
    before = values(ds)
    confirm(widget, plan)
    assert finish(widget)["state"] == "done"
    assert not (ds.dir / "_derived/k").exists() or not list((ds.dir / "_derived/k").iterdir())
    assert values(ds) == before


def test_a_compaction_is_planned_and_confirmed_too(ds):
    widget = MaterializePanel(ds)
    plan = good(widget, "compact", namespace="k")["plan"]
    assert (plan["parts"], plan["rows"]) == (2, 4)
    before = values(ds)
    confirm(widget, plan)
    assert finish(widget)["state"] == "done"
    assert (values(ds), len(list((ds.dir / "_derived/k").iterdir()))) == (before, 1)
    refused = good(widget, "compact", namespace="nope")["refused"]
    assert refused["type"] == "NamespaceError"


def test_a_file_comes_in_pieces(ds):
    widget = AttachPanel(ds)
    data = f"id,score\n{IDS[0]},1\n{IDS[1]},2\n".encode()
    half = len(data) // 2
    send = {"name": "../../etc/up.csv"}
    good(widget, "upload", **send, at=0, piece=base64.b64encode(data[:half]).decode(), last=False)
    wrong = ask(widget, "upload", **send, at=3, piece="", last=False)
    assert "out of order" in wrong["error"]["message"]
    bad = ask(widget, "upload", **send, at=half, piece="###", last=True)
    assert "damaged" in bad["error"]["message"]
    good(widget, "upload", **send, at=half, piece=base64.b64encode(data[half:]).decode(), last=True)
    plan = good(widget, "plan", kind="upload", source="up.csv", namespace="lab")["plan"]
    assert (plan["source"], plan["matched"]) == ("up.csv", 2)
    confirm(widget, plan)
    finish(widget)
    assert raw_events(ds)[-2]["args"]["path"] == "up.csv"


def test_a_table_of_the_kernel_and_edited_columns(ds):
    frame = pa.table({"id": IDS[:2], "LLR (nats)": ["1", "2"], "junk": ["a", "b"]})
    widget = AttachPanel(ds, source=frame)
    place = good(widget, "place")
    assert (place["kind"], place["source"]) == ("frame", "table")
    columns = [
        {"source": "LLR (nats)", "name": "evo2__llr", "type": "float32", "take": True},
        {"source": "junk", "name": "junk", "type": "", "take": False},
    ]
    asked = {"kind": "frame", "source": "table", "namespace": "evo2", "columns": columns}
    plan = good(widget, "plan", **asked)["plan"]
    assert plan["registers"] == [{"name": "evo2__llr", "type": "float32"}]
    assert plan["python"] == (
        "ds.plan_attach(table, 'evo2', key='id', key_col='id', columns=['LLR (nats)'], "
        "rename={'LLR (nats)': 'evo2__llr'}, types={'LLR (nats)': 'float32'}, "
        "register=True).apply()"
    )
    ran = eval(plan["python"].removesuffix(".apply()"), {"ds": ds, "table": frame})
    assert ran.counts == plan["counts"]
    bad = [{**columns[0], "type": "flaot"}]
    assert good(widget, "plan", **asked | {"columns": bad})["refused"]["type"] == "SchemaError"


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("confirm", {}),
        ("confirm", {"token": 1, "digest": "x"}),
        ("confirm", {"token": "x", "digest": "y", "rm": 1}),
        ("plan", {"kind": "sql", "source": "x", "namespace": "y"}),
        ("plan", {"kind": "path", "source": "x", "namespace": "y", "columns": [{"source": "a"}]}),
        ("plan", {"kind": "path", "source": "x", "namespace": "y", "columns": ["a"]}),
        ("plan", {"kind": "path", "source": "x", "namespace": "y", "columns": {}}),
        ("apply", {}),
    ],
)
def test_malformed_requests_get_typed_replies(ds, op, args):
    before = tree(ds.root)
    reply = ask(AttachPanel(ds), op, **args)
    assert (reply["ok"], reply["error"]["type"]) == (False, "ValidationError")
    assert tree(ds.root) == before
