"""The panels without a browser: replies, sizes, summaries, hosts."""

from __future__ import annotations

import random
import re
import subprocess
import sys

import pyarrow as pa
import pytest

from usr_nb import Dataset, init_root, panel, register_namespace
from usr_nb.widgets import base
from usr_nb.widgets.messages import COPY_BYTES, PAGE_BYTES
from usr_nb.widgets.sequences import SequencesPanel


def ask(widget, op, **args):
    reply, buffers = widget.answer({"kind": "request", "id": 1, "op": op, "args": args})
    return reply, [pa.ipc.open_stream(b).read_all() for b in buffers]


@pytest.fixture
def ds(tmp_path):
    register_namespace(tmp_path, namespace="lab", columns="lab__signal:list<float32>")
    made = Dataset.open(tmp_path, "t/p")
    made.init()
    draw = random.Random(4)
    texts = ["".join(draw.choices("ACGT", k=2_000)) for _ in range(60)]
    made.add_sequences([{"sequence": t} for t in texts], bio_type="dna", alphabet="dna_4")
    ids = made.head_table(60, ["id"])["id"].to_pylist()
    signal = pa.array([[0.25] * 2_000] * 60, pa.list_(pa.float32()))
    made.write_overlay("lab", pa.table({"id": ids, "signal": signal}))
    return made


def test_a_page_is_never_larger_than_it_may_be(ds):
    widget = SequencesPanel(ds)
    window = {"first": 0, "letters": 1_000, "track": "lab__signal"}
    reply, [table] = ask(widget, "page", start=0, count=60, **window)
    assert reply["data"]["count"] == table.num_rows < 60
    args = {"start": 0, "count": 60, **window}
    _, buffers = widget.answer({"kind": "request", "id": 1, "op": "page", "args": args})
    assert len(buffers[0]) <= PAGE_BYTES
    # The rest is asked for next, until all have come.
    rows, at = [], 0
    while at < 60:
        reply, [table] = ask(widget, "page", start=at, count=60 - at, **window)
        rows += table["row"].to_pylist()
        at += reply["data"]["count"]
    assert rows == list(range(60))


def test_letters_come_first_where_the_overlay_is_not_known_yet(ds):
    widget = SequencesPanel(ds)
    args = {"start": 0, "count": 5, "first": 0, "letters": 20, "track": "lab__signal"}
    reply, [table] = ask(widget, "page", extras=False, **args)
    assert not reply["data"]["whole"]
    assert table["track"].null_count == 5
    reply, [table] = ask(widget, "page", extras=True, **args)
    assert reply["data"]["whole"]
    assert table["track"].null_count == 0
    reply, _ = ask(widget, "page", extras=False, **args)
    assert reply["data"]["whole"], "now that it is known it comes at once"


def test_what_is_copied_is_bounded_and_says_so(ds):
    reply, _ = ask(SequencesPanel(ds), "fasta", start=0, count=60)
    assert len(reply["data"]["text"]) <= COPY_BYTES
    assert reply["data"]["copied"] < reply["data"]["asked"] == 60


def test_a_vanished_dataset_is_a_typed_reply(ds):
    widget = SequencesPanel(ds)
    widget._pages.close()
    ds.records_path.unlink()
    reply, _ = ask(widget, "overview")
    assert reply["error"]["type"] == "DatasetNotFound"


def test_a_changed_dataset_is_noticed_and_shown_anew(ds):
    widget = SequencesPanel(ds)
    seen = ask(widget, "overview")[0]["data"]["version"]
    assert ask(widget, "look", version=seen)[0]["data"] == {"changed": False}
    ds.add_sequences([{"sequence": "ACGT"}], bio_type="dna", alphabet="dna_4")
    now = ask(widget, "overview")[0]["data"]
    assert now["rows"] == 61
    assert ask(widget, "look", version=now["version"])[0]["data"] == {"changed": False}
    # Another view of the same widget still shows the state before.
    assert ask(widget, "look", version=seen)[0]["data"] == {"changed": True}


def test_a_new_event_is_noticed_by_each_view(ds):
    widget = panel.history(ds)
    seen = ask(widget, "page", start=0, count=5)[0]["data"]["version"]
    assert ask(widget, "look", version=seen)[0]["data"] == {"changed": False}
    ds.log_event("my.step")
    ask(widget, "actions")
    assert ask(widget, "look", version=seen)[0]["data"] == {"changed": True}
    now = ask(widget, "page", start=0, count=5)[0]["data"]
    assert now["items"][0]["sentence"] == "my.step"
    assert ask(widget, "look", version=now["version"])[0]["data"] == {"changed": False}


def test_show_tells_the_front_end_to_look_again(ds, monkeypatch):
    widget = SequencesPanel(ds, rows=[3, 1])
    sent = []
    monkeypatch.setattr(widget, "send", lambda message, buffers=None: sent.append(message))
    widget.show([5])
    assert sent == [{"kind": "notice", "what": "changed", "data": {"why": "selection"}}]
    assert ask(widget, "overview")[0]["data"]["rows"] == 1


def test_a_page_without_a_kernel_shows_a_summary_and_repr_is_cheap(ds):
    widget = SequencesPanel(ds)
    assert widget.summary.splitlines()[0] == "t/p: 60 records, at most 2,000 letters"
    data, _ = widget._repr_mimebundle_()
    assert data["text/plain"] == widget.summary
    assert "application/vnd.jupyter.widget-view+json" in data
    assert repr(widget) == "SequencesPanel('t/p')"
    assert "t/p: " in panel.history(ds).summary


def test_no_data_in_traits(ds):
    widget = SequencesPanel(ds)
    state = {k: v for k, v in widget.get_state().items() if k not in {"_esm", "_css"}}
    assert len(str(state)) < 3_000


def test_outside_marimo_the_bare_widget_comes(ds):
    assert isinstance(panel.sequences(ds), base.Panel)


def test_an_empty_dataset_is_shown_too(tmp_path):
    init_root(tmp_path)
    empty = Dataset.open(tmp_path, "t/e")
    empty.init()
    widget = panel.sequences(empty)
    assert ask(widget, "page", start=0, count=10, first=0, letters=10)[1][0].num_rows == 0
    assert ask(widget, "options")[0]["ok"]
    assert widget.summary == "t/e: 0 records, at most 0 letters"


def test_bundles_are_self_contained():
    for name in ("filter", "sequences", "history"):
        script, style = base.front_end(name)
        # Relative imports fail in marimo, addresses fail offline.
        assert not re.search(r"(^|[;}])import[ {\"(]", script, re.MULTILINE)
        assert "http" not in style
        # The name of SVG looks like an address; nothing is loaded from it.
        assert "http" not in script.replace("http://www.w3.org/2000/svg", "")


def test_panel_is_loaded_when_it_is_asked_for():
    code = (
        "import sys, usr_nb; assert 'anywidget' not in sys.modules; "
        "from usr_nb import panel; assert 'anywidget' in sys.modules; "
        "assert 'marimo' not in sys.modules; print(panel.__name__)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "usr_nb.panel"
