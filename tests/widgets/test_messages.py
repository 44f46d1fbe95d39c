"""What goes over the wire: bad messages get typed replies, whatever they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from usr_nb import Dataset, ValidationError, init_root
from usr_nb.widgets import messages
from usr_nb.widgets.filter import FilterPanel
from usr_nb.widgets.history import HistoryPanel
from usr_nb.widgets.messages import Choice, Flag, Text, Whole, parse_request
from usr_nb.widgets.sequences import SequencesPanel

OPERATIONS = {
    "go": {"to": Whole(low=1, high=9), "how": Choice(("fast", "slow"), "fast"),
           "on": Flag(default=True), "why": Text(most=5, default="")},
    "stop": {},
}  # fmt: skip


def request(op="go", id=1, **args):
    return {"kind": "request", "id": id, "op": op, "args": args}


def test_a_good_message_is_typed_and_filled():
    assert parse_request(request(to=5.0), OPERATIONS).args == {
        "to": 5, "how": "fast", "on": True, "why": "",
    }  # fmt: skip
    assert parse_request({"kind": "request", "id": 3, "op": "stop"}, OPERATIONS).id == 3


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (None, "no request"), ([], "no request"), ({}, "no request"),
        ({"kind": "reply", "id": 1}, "no request"),
        (request() | {"more": 1}, "no field 'more'"),
        (request(id="1"), "number as its id"), (request(id=True), "number as its id"),
        (request(id=-1), "number as its id"), (request(id=float("nan")), "number as its id"),
        (request("goo"), "no operation 'goo'"), (request(op=None), "no operation"),
        (request() | {"args": [1]}, "no mapping"),
        (request(to=1, twice=2), "no argument 'twice'"),
        (request(), "lacks the argument 'to'"),
        (request(to=10), "whole number from 1 to 9"), (request(to=1.5), "whole number"),
        (request(to=True), "whole number"), (request(to="1"), "whole number"),
        (request(to=1, how="other"), "one of fast, slow"), (request(to=1, how=["fast"]), "one of"),
        (request(to=1, on=1), "true or false"),
        (request(to=1, why="longer than"), "at most 5"), (request(to=1, why=None), "text of"),
    ],
)  # fmt: skip
def test_a_bad_message_says_what_is_wrong(message, says):
    with pytest.raises(ValidationError, match=says) as caught:
        parse_request(message, OPERATIONS)
    assert caught.value.hint


@pytest.fixture(scope="module")
def panels(tmp_path_factory):
    root = tmp_path_factory.mktemp("messages")
    init_root(root)
    ds = Dataset.open(root, "t/m")
    ds.init()
    ds.add_sequences([{"sequence": "ACGTACGT"}], bio_type="dna", alphabet="dna_4")
    return [SequencesPanel(ds), HistoryPanel(ds), FilterPanel(ds)]


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(data=st.data())
def test_any_message_gets_one_reply_and_no_exception(panels, data):
    for panel in panels:
        ops = {k: dict(v) for k, v in panel.operations.items()}
        op = data.draw(st.sampled_from([*sorted(ops), "other"]))
        args = {name: data.draw(json_like) for name in ops.get(op, {}) if data.draw(st.booleans())}
        message = {"kind": "request", "id": 5, "op": op, "args": args}
        message = data.draw(st.sampled_from([message, args]))
        reply, buffers = panel.answer(message)
        assert reply["kind"] == "reply"
        assert isinstance(reply["ok"], bool)
        assert json.dumps(reply)
        if not reply["ok"]:
            assert reply["error"]["type"].endswith(("Error", "NotFound"))
            assert reply["error"]["message"]
            assert buffers == ()


def test_limits_are_one_file_for_both_sides():
    said = json.loads((Path(messages.__file__).parent / "limits.json").read_text("utf-8"))
    for name in (n for n in said if not n.endswith("_MS")):
        assert getattr(messages, name) == said[name]
    assert messages.PAGE_BYTES <= 100_000
