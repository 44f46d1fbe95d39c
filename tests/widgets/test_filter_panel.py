"""The filter panel without a browser: counts, the one commit, saving, bad input, changed data."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pytest

from tests.features.kit import fresh, new
from usr_nb import F, SchemaError, ValidationError, panel, set_column
from usr_nb.filter.feature import plain_feature
from usr_nb.filter.tree import Filter
from usr_nb.widgets.filter import FilterPanel
from usr_nb.widgets.messages import CATEGORIES
from usr_nb.widgets.sequences import SequencesPanel

TEXTS = ["ACGTACGTAC", "GGGGCCCC", "ATATATAT", "TTGACAATATAAT", "ACGT", "AATTCCGG", "GAATTC"]
HOSTILE = '<img src=x onerror="window.hacked=1">'


@pytest.fixture
def ds(tmp_path):
    made = new(fresh(tmp_path, a="a__x:float64,a__tf:string,a__at:timestamp[us, UTC]"), TEXTS)
    ids = made.head(99)["id"].tolist()
    nan = float("nan")
    made.write_overlay("a", pa.table({
        "id": ids, "x": [0.5, 1.5, 2.5, None, nan, 5.5, 6.5],
        "tf": ["lexA", "lexA", "cpxR", None, "", HOSTILE, "lexA"],
        "at": pa.array([0, 1, 2, 3, 4, 5, None], pa.timestamp("us", "UTC")),
    }))  # fmt: skip
    return made


def send(widget: FilterPanel, op: str, **args):
    reply, _ = widget.answer({"kind": "request", "id": 1, "op": op, "args": args})
    return reply


def ask(widget: FilterPanel, op: str, **args):
    reply = send(widget, op, **args)
    assert reply["ok"], reply
    return reply["data"]


def feature(term) -> str:
    return json.dumps(plain_feature(term.feature))


def commit(widget: FilterPanel, where: Filter, *, deleted: bool = False) -> None:
    """What the front end does at the end of a gesture."""
    data = ask(widget, "preview", filter=where.to_json(), deleted=deleted)
    widget.set_state({"commit": data["commit"]})


def test_the_overview_offers_every_column_in_order(ds):
    data = ask(panel.filter(ds), "overview")
    assert [s["name"] for s in data["sections"]][:7] == [
        "length", "gc", "sequence", "qc_status", "split", "masked", "deleted",
    ]  # fmt: skip
    assert [s["name"] for s in data["sections"]][-3:] == ["a__x", "a__tf", "a__at"]
    assert (data["rows"], data["deleted"], data["saved"]) == (7, 0, [])


def test_columns_bear_the_label_and_unit_that_people_gave_them(ds):
    set_column(ds.root, "a__x", unit="nats", label="Evo2 LLR")
    found = {s["name"]: s for s in ask(panel.filter(ds), "overview")["sections"]}
    assert (found["a__x"]["label"], found["a__x"]["unit"]) == ("Evo2 LLR", "nats")
    assert (found["a__tf"]["label"], found["a__tf"]["unit"]) == ("", "")


def test_a_facet_gives_bins_or_values_whole_and_filtered(ds):
    widget = FilterPanel(ds)
    where = (F.length >= 8).to_json()
    found = ask(widget, "facet", feature=feature(F["a__x"]), filter=where)
    assert (found["kind"], sum(found["rows"]), sum(found["kept"])) == ("number", 7, 5)
    assert found["rows"][-2:] == [1, 1]
    found = ask(widget, "facet", feature=feature(F["a__tf"]), filter=where)
    assert found["values"] == ["lexA", "", HOSTILE, "cpxR"]
    assert (found["rows"], found["kept"]) == ([3, 1, 1, 1, 0, 0, 1, 0], [2, 0, 1, 1, 0, 0, 1, 0])
    found = ask(widget, "facet", feature=feature(F["a__at"]), filter=where)
    assert found["kind"] == "time"
    assert found["times"][0] == "1970-01-01T00:00:00.000000Z"


def test_of_many_values_a_page_is_sent(tmp_path):
    made = new(fresh(tmp_path, a="a__tf:string"), [f"ACGT{'A' * i}" for i in range(CATEGORIES + 9)])
    ids = made.head(999)["id"].tolist()
    made.write_overlay("a", pa.table({"id": ids, "tf": [f"n{i}" for i in range(len(ids))]}))
    widget = FilterPanel(made)
    where = F.everything.to_json()
    found = ask(widget, "facet", feature=feature(F["a__tf"]), filter=where)
    assert (len(found["values"]), found["more"], len(found["rows"])) == (60, 9, 64)
    look = {"feature": plain_feature(F["a__tf"].feature), "scale": "linear", "view": "all"}
    again = ask(widget, "preview", filter=where, looks=json.dumps([look]))
    assert again["facets"][0]["rows"] == found["rows"]


def test_a_preview_counts_and_changes_nothing(ds):
    widget = FilterPanel(ds)
    before = dict(widget.commit)
    where = (F.length >= 8) & (F["a__x"] > 100)
    data = ask(widget, "preview", filter=where.to_json())
    assert (data["count"], data["total"], data["strictest"]) == (0, 7, 1)
    assert [c["alone"] for c in data["chips"]] == [5, 0]
    assert data["line"] == where.as_line()
    assert data["python"] == where.as_python()
    assert data["commit"]["hash"] == where.hash
    assert widget.commit == before


def test_a_commit_is_what_scripts_read(ds):
    widget = FilterPanel(ds)
    assert (widget.filter, widget.count) == (F.everything, 7)
    where = (F.length >= 8) & (F["a__tf"] == "lexA")
    commit(widget, where)
    assert widget.filter == where
    wanted = ds.head(99, where=where)["id"].tolist()
    assert widget.ids() == list(widget.selection().ids) == wanted
    assert widget.commit["count"] == widget.count == len(wanted) == 2
    assert widget.selection().where == where
    assert len(json.dumps(widget.commit)) < 600


def test_who_follows_is_told_once_for_each_new_filter(ds):
    widget, told = FilterPanel(ds), []
    undo = widget.on_filter(lambda: told.append(widget.filter.as_line()))
    commit(widget, F.length >= 8)
    commit(widget, F.length >= 8)
    commit(widget, F.length >= 9)
    assert told == ["length >= 8", "length >= 9"]
    undo()
    commit(widget, F.everything)
    assert len(told) == 2


def test_the_sequence_view_follows(ds):
    widget = FilterPanel(ds)
    view = SequencesPanel(ds, where=widget)
    commit(widget, F.length >= 9)
    reply, _ = view.answer({"kind": "request", "id": 1, "op": "overview", "args": {}})
    assert reply["data"]["rows"] == 2
    # Of another dataset it keeps what fits there.
    other = new(ds.root, ["ACGT", "ACGTACGTACGT"], name="other")
    assert widget.rows_for(other).tolist() == [1]


@pytest.mark.parametrize(
    "bad",
    [
        {}, {"filter": "no", "deleted": False}, {"filter": 5}, {"filter": None, "deleted": 1},
        {"filter": (F["a__gone"] > 1).to_json(), "deleted": False},
    ],
)  # fmt: skip
def test_a_commit_that_is_none_leaves_the_one_before(ds, bad):
    widget = FilterPanel(ds, where=F.length >= 8)
    widget.set_state({"commit": bad})
    assert widget.filter == (F.length >= 8)
    # What the front end claims of counts and hash is not believed.
    widget.set_state(
        {"commit": {"filter": (F.length > 9).to_json(), "deleted": False, "hash": "x"}}
    )
    assert widget.commit["hash"] == (F.length > 9).hash
    assert widget.commit["count"] == 2


def test_set_from_python_tells_the_front_end(ds, monkeypatch):
    widget = FilterPanel(ds, where="length >= 8")
    assert widget.count == 5
    sent = []
    monkeypatch.setattr(widget, "send", lambda message, buffers=None: sent.append(message))
    widget.set("length >= 9")
    assert widget.count == 2
    assert sent[-1]["data"] == {"why": "set"}
    widget.set(None)
    assert widget.count == 7
    with pytest.raises(SchemaError):
        widget.set("a__gone > 1")
    with pytest.raises(SchemaError):
        FilterPanel(ds, where="a__gone > 1")


def test_deleted_records_count_when_asked_for(ds):
    ds.tombstone(ds.head(1)["id"].tolist())
    widget = FilterPanel(ds)
    assert (widget.count, ask(widget, "overview")["deleted"]) == (6, 1)
    assert (widget.commit["count"], widget.commit["total"]) == (6, 6)
    commit(widget, F.everything, deleted=True)
    assert (widget.count, widget.include_deleted, len(widget.ids())) == (7, True, 7)
    assert len(widget.selection().ids) == 6


def test_hits_of_a_motif_in_what_is_kept(ds):
    widget = FilterPanel(ds)
    where = (F.length >= 8) & F.motif("AT", strand="+")
    assert ask(widget, "hits", chip=1, filter=where.to_json())["hits"] == 4 + 3 + 1
    assert (
        "hits are"
        in send(widget, "hits", chip=0, filter=where.to_json())["error"]["message"].lower()
    )


@pytest.mark.parametrize(
    ("op", "args", "type", "says"),
    [
        ("preview", {"filter": "{"}, "ValidationError", "no JSON"),
        ("preview", {"filter": (F["a__gone"] > 1).to_json()}, "SchemaError", "does not exist"),
        ("preview", {"filter": (F["a__tf"] > 1).to_json()}, "SchemaError", "a__tf is string"),
        ("preview", {"filter": F.everything.to_json(), "looks": "5"}, "ValidationError", "looks"),
        ("preview", {"filter": F.everything.to_json(), "looks": "[5]"}, "ValidationError", "look"),
        ("facet", {"feature": "{", "filter": F.everything.to_json()}, "ValidationError", "feature"),
        ("facet", {"feature": feature(F["a__gone"]), "filter": F.everything.to_json()},
         "SchemaError", "a__gone"),
        ("parse", {"line": "gc >"}, "FilterSyntaxError", "the end"),
        ("parse", {"line": "gone > 3"}, "SchemaError", "gone"),
        ("load", {"name": "none"}, "RecordNotFound", "No filter is named"),
        ("plan_save", {"name": " x", "filter": F.everything.to_json()}, "ValidationError", "named"),
        ("confirm", {"token": "0"}, "StalePlanError", "confirmed already"),
    ],
)  # fmt: skip
def test_bad_input_is_a_typed_reply(ds, op, args, type, says):
    reply = send(FilterPanel(ds), op, **args)
    assert not reply["ok"]
    assert reply["error"]["type"] == type
    assert says in reply["error"]["message"]


def test_a_bad_regex_or_motif_says_what_is_wrong(ds):
    tests = {"regex": ("(", "pattern"), "motif": ("ACQ", "motif")}
    good = {"regex": F.sequence.matches("A"), "motif": F.motif("A")}
    for kind, (bad, key) in tests.items():
        body = json.loads(good[kind].to_json())
        body["filter"][key] = bad
        reply = send(FilterPanel(ds), "preview", filter=json.dumps(body))
        assert reply["error"]["type"].endswith("Error")
        assert bad in reply["error"]["message"] or "Q" in reply["error"]["message"]


# Saving -------------------------------------------------------------------------------------------


def log(ds) -> list[str]:
    return [e["action"] for e in ds.events()]


def test_saving_is_announced_then_confirmed_once(ds):
    widget, events = FilterPanel(ds), log(ds)
    where = F.length >= 8
    plan = ask(widget, "plan_save", name="long ones", filter=where.to_json())
    assert plan["says"] == "Save 'long ones' with d?"
    assert log(ds) == events, "a plan writes nothing"
    done = ask(widget, "confirm", token=plan["token"])
    assert [s["name"] for s in done["saved"]] == ["long ones"]
    assert log(ds) == [*events, "filter_save"]
    assert ds.filter("long ones") == where
    # A double click, or a cell that ran again, confirms nothing twice.
    error = send(widget, "confirm", token=plan["token"])["error"]
    assert error["type"] == "StalePlanError"
    assert "confirmed already" in error["message"]
    assert log(ds) == [*events, "filter_save"]
    assert ask(widget, "load", name="long ones")["filter"] == where.to_json()


def test_only_the_newest_question_can_be_answered(ds):
    widget = FilterPanel(ds)
    first = ask(widget, "plan_save", name="a", filter=F.everything.to_json())
    ask(widget, "plan_save", name="b", filter=F.everything.to_json())
    assert send(widget, "confirm", token=first["token"])["error"]["type"] == "StalePlanError"
    assert ds.filters() == {}


def test_what_somebody_else_saved_meanwhile_is_not_overwritten(ds):
    widget = FilterPanel(ds)
    plan = ask(widget, "plan_save", name="a", filter=F.everything.to_json())
    ds.save_filter("a", F.length > 1)
    reply = send(widget, "confirm", token=plan["token"])
    assert "somebody else" in reply["error"]["message"]
    assert ds.filter("a") == (F.length > 1)
    plan = ask(widget, "plan_save", name="a", filter=F.everything.to_json())
    assert "saved as: length > 1" in plan["says"]
    ask(widget, "confirm", token=plan["token"])
    assert ds.filter("a") == F.everything
    plan = ask(widget, "plan_delete", name="a")
    ask(widget, "confirm", token=plan["token"])
    assert ds.filters() == {}


# Changes ------------------------------------------------------------------------------------------


def test_a_changed_dataset_is_noticed_and_counted_anew(ds):
    widget = FilterPanel(ds, where="length >= 8")
    seen = ask(widget, "overview")["version"]
    assert ask(widget, "look", version=seen) == {"changed": False}
    ds.add_sequences([{"sequence": "ACGTACGTACGTACGT"}], bio_type="dna", alphabet="dna_4")
    assert ask(widget, "look", version=seen) == {"changed": True}
    assert widget.count == 6, "scripts always get the newest state"
    now = ask(widget, "overview")
    assert (now["rows"], ask(widget, "look", version=now["version"])) == (8, {"changed": False})


def test_a_column_that_vanished_is_a_typed_reply(ds):
    widget = FilterPanel(ds, where="a__x > 1")
    ds.remove_overlay("a", mode="delete")
    data = ask(widget, "overview")
    assert not any(s["name"] == "a__x" for s in data["sections"])
    reply = send(widget, "preview", filter=data["commit"]["filter"])
    assert "'a__x' does not exist" in reply["error"]["message"]


def test_a_page_without_a_kernel_shows_a_summary_and_repr_is_cheap(ds):
    widget = FilterPanel(ds, where="length >= 8")
    assert widget.summary == "d: 5 of 7 records\nlength >= 8"
    assert repr(widget) == "FilterPanel('d')"
    state = {k: v for k, v in widget.get_state().items() if k not in {"_esm", "_css"}}
    assert len(str(state)) < 3_000


# A table in memory --------------------------------------------------------------------------------


def test_a_frame_is_filtered_too_and_keeps_no_filters():
    frame = pd.DataFrame({"sequence": ["ACGT", "GGCC", None], "score": [0.5, None, 2.0]})
    widget = panel.filter(frame, name="my frame")
    data = ask(widget, "overview")
    assert [s["name"] for s in data["sections"]] == ["gc", "sequence", "score"]
    assert (data["dataset"], data["saved"], data["rows"]) == ("my frame", None, 3)
    commit(widget, F["score"] > 1)
    assert widget.rows().tolist() == [2]
    with pytest.raises(SchemaError, match="no column 'id'"):
        widget.ids()
    reply = send(widget, "plan_save", name="a", filter=F.everything.to_json())
    assert "keeps no filters" in reply["error"]["message"]
    with pytest.raises(ValidationError, match="A int has no records"):
        panel.filter(5)
