"""The description without a browser: replies, sizes, steps, what follows it."""

from __future__ import annotations

import json
import random

import pyarrow as pa
import pytest

from usr_nb import Dataset, F, SchemaError, panel, register_namespace
from usr_nb.analysis.describe import Describer, as_csv, as_markdown, rows_of
from usr_nb.widgets.describe import DescribePanel
from usr_nb.widgets.follow import source_of
from usr_nb.widgets.messages import COLUMNS_PAGE, INDEX_PAGE, PAGE_BYTES

COLUMNS = 350


def ask(widget, op, **args):
    reply, buffers = widget.answer({"kind": "request", "id": 1, "op": op, "args": args})
    assert buffers == ()
    assert len(json.dumps(reply).encode()) <= PAGE_BYTES, op
    json.dumps(reply, allow_nan=False)
    return reply.get("data") if reply["ok"] else reply["error"]


def made(widget):
    ask(widget, "start")
    while not (found := ask(widget, "step"))["ready"]:
        pass
    return found


@pytest.fixture
def ds(tmp_path):
    """Many columns, long texts, strange numbers; some sequences differ only in case."""
    spec = [f"c{i}:float64" for i in range(COLUMNS)]
    spec += ["text:string", "deep:list<struct<a:string,b:struct<c:list<float32>,d:string>>>"]
    register_namespace(tmp_path, namespace="m", columns=",".join(f"m__{s}" for s in spec))
    found = Dataset.open(tmp_path, "t/d")
    found.init()
    draw = random.Random(1)
    texts = ["".join(draw.choices("ACGT", k=30)) for _ in range(40)]
    texts += [t.lower() for t in texts[:3]]
    found.add_sequences([{"sequence": t} for t in texts], bio_type="dna", alphabet="dna_4")
    ids = found.head_table(40, ["id"])["id"].to_pylist()
    numbers = {f"c{i}": [float("nan"), float("inf"), *(draw.gauss(0, 1) for _ in ids[2:])]
               for i in range(COLUMNS)}  # fmt: skip
    long = [("x" * 5_000) + str(i % 4) for i in range(40)]
    deep = [[{"a": t, "b": {"c": [1.0, None], "d": t}}] for t in long]
    found.write_overlay_part("m", pa.table({"id": ids, **numbers, "text": long, "deep": deep}))
    return found


def test_every_message_is_small_and_strict_json(ds):
    widget = DescribePanel(ds, where="length > 3")
    first = made(widget)
    assert (first["rows"], first["kept"]) == (43, 43)
    listed = []
    while len(listed) < first["columns"]:
        listed += ask(widget, "index", start=len(listed), count=INDEX_PAGE)["columns"]
    assert [c["name"] for c in listed] == ds.schema().names
    for at in range(0, len(listed), COLUMNS_PAGE):
        places = range(at, min(at + COLUMNS_PAGE, len(listed)))
        got = ask(widget, "columns", at=",".join(map(str, places)))["columns"]
        assert set(got) == {str(p) for p in places}
    last = ask(widget, "column", at=len(listed) - 1)["column"]
    assert last["all"]["elements"]["children"][1]["children"][0]["elements"]["nulls"] == 40
    c0 = ask(widget, "column", at=ds.schema().names.index("m__c0"))["column"]
    assert (c0["all"]["numbers"]["max"], c0["all"]["numbers"]["nan"]) == ("inf", 1)


@pytest.mark.parametrize(("op", "args", "says"), [
    ("columns", {"at": "x"}, "at most"), ("columns", {"at": "1,,2"}, "at most"),
    ("columns", {"at": ",".join("1" * 40)}, "at most"), ("columns", {"at": "9999"}, "no such"),
    ("columns", {"at": "-1"}, "at most"), ("columns", {"at": "\u0663"}, "at most"),
    ("column", {"at": 9999}, "no such"), ("choose", {"kind": "any"}, "one of"),
    ("choose", {"kind": "exact"}, "no exact duplicates"), ("copy", {"form": "sql"}, "one of"),
    ("index", {"start": 0, "count": INDEX_PAGE + 1}, "whole number"),
    ("copy", {"form": "csv"}, "too many"),
])  # fmt: skip
def test_bad_messages_are_typed_replies(ds, op, args, says):
    widget = DescribePanel(ds)
    early = ask(widget, op, **args)
    assert early["type"] == "ValidationError"
    made(widget)
    if says != "too many":
        assert says in ask(widget, op, **args)["message"]


def test_a_step_before_the_start_and_a_second_view(ds):
    widget = DescribePanel(ds)
    assert "Nothing is being described" in ask(widget, "step")["message"]
    assert made(widget) == ask(widget, "step"), "another view of the same panel is told as well"


def test_it_is_done_in_steps_that_say_how_far_they_are(ds, monkeypatch):
    work = Describer(ds)
    work.start(F["length"] > 3)
    assert work.step(0) is None
    assert (work.run.done, work.run.total) == (0, 43)
    found = work.step(60)
    assert found.rows == 43
    assert work.run is None
    assert repr(found) == repr(ds.profile("length > 3")), "NaN is no equal of itself"


def test_duplicates_that_are_clicked_are_a_filter_that_others_follow(ds):
    widget = DescribePanel(ds)
    made(widget)
    source = source_of(widget)
    assert source is widget
    assert len(source.rows_for(ds)) == 43
    told = []
    undo = source.on_filter(lambda: told.append(1))
    chosen = ask(widget, "choose", kind="case")
    assert told == [1]
    rows = source.rows_for(ds)
    texts = ds.head_table(43, ["sequence"])["sequence"].to_pylist()
    folded = [t.upper() for t in texts]
    assert rows.tolist() == [i for i, t in enumerate(folded) if folded.count(t) > 1]
    assert chosen["python"].startswith("F.id.isin([")
    undo()
    ask(widget, "choose", kind="case")
    assert told == [1]


def test_a_filter_that_does_not_fit_is_a_typed_reply(ds):
    widget = DescribePanel(ds, where="m__gone > 3")
    ask(widget, "start")
    assert ask(widget, "step")["type"] == SchemaError.__name__


def test_it_notices_a_change_and_has_a_summary(ds):
    widget = DescribePanel(ds)
    begun = ask(widget, "start")
    assert begun["where"] is None
    assert not ask(widget, "look", version=begun["version"])["changed"]
    ds.tombstone(ds.head_table(1, ["id"])["id"].to_pylist())
    assert ask(widget, "look", version=begun["version"])["changed"]
    assert widget.summary.startswith("t/d: 43 records, ")
    assert widget.profile is None
    assert made(widget)["rows"] == 42
    assert repr(panel.describe(ds)) == "DescribePanel('t/d')"


def test_csv_and_markdown_have_a_line_for_each_column(ds):
    found = ds.profile("length > 3", ["length", "sequence", "m__text"])
    head, rows = rows_of(found)
    assert [r[:2] for r in rows] == [
        [c, side] for c in ("length", "sequence", "m__text") for side in ("all", "kept")
    ]
    assert as_csv(found).splitlines()[0] == ",".join(head)
    assert len(as_markdown(found).splitlines()) == 2 + len(rows)
    assert "| length | all | int32 | 43 | 0 | 30 | 30 | 30 |" in as_markdown(found)
