"""What a panel follows, and who is told of a new filter."""

from __future__ import annotations

import gc

import pytest

from tests.features.kit import fresh, new
from usr_nb import F, ValidationError, panel
from usr_nb.filter.tree import Filter
from usr_nb.widgets.follow import Fixed, follow, rows_kept, source_of
from usr_nb.widgets.sequences import SequencesPanel

TEXTS = ["ACGTACGTAC", "GGGGCCCC", "ATATATAT", "ACGT"]


class Knob:
    """A filter that a test turns, as a panel does."""

    def __init__(self, where: Filter) -> None:
        self.filter = where
        self.told = []

    def rows_for(self, ds):
        return rows_kept(ds, self.filter)

    def on_filter(self, told):
        self.told.append(told)
        return lambda: self.told.remove(told)

    def turn(self, where: Filter) -> None:
        self.filter = where
        for told in list(self.told):
            told()


@pytest.fixture
def ds(tmp_path):
    return new(fresh(tmp_path, a="a__x:int64"), TEXTS)


def shown(widget: SequencesPanel) -> int:
    reply, _ = widget.answer({"kind": "request", "id": 1, "op": "overview", "args": {}})
    return reply["data"]["rows"]


def test_what_may_be_followed():
    assert source_of(None) is None
    assert source_of("length > 5").filter == (F.length > 5)
    assert source_of(F.length > 5).filter == (F.length > 5)
    knob = Knob(F.everything)
    assert source_of(knob) is knob

    class Element:  # as marimo wraps a widget
        widget = knob

    assert source_of(Element()) is knob
    with pytest.raises(ValidationError, match="not a int"):
        source_of(5)
    with pytest.raises(ValidationError):
        source_of("length >")


def test_the_sequence_view_shows_what_the_filter_keeps_and_follows_it(ds, monkeypatch):
    assert shown(panel.sequences(ds, where="length < 9")) == 3
    knob = Knob(F.length >= 8)
    widget = SequencesPanel(ds, where=knob)
    sent = []
    monkeypatch.setattr(widget, "send", lambda message, buffers=None: sent.append(message))
    assert shown(widget) == 3
    knob.turn(F.length == 4)
    assert [m["data"]["why"] for m in sent] == ["selection"]
    assert shown(widget) == 1
    # A record that comes later is shown if the filter keeps it.
    ds.add_sequences([{"sequence": "TTTT"}], bio_type="dna", alphabet="dna_4")
    assert shown(widget) == 2
    widget.show([0, 1])
    assert shown(widget) == 2
    knob.turn(F.everything)
    assert shown(widget) == 2, "what show() was told stands"
    with pytest.raises(ValidationError, match="rows= and where="):
        SequencesPanel(ds, rows=[0], where=knob)


def test_who_is_gone_is_told_no_more():
    class Listener:
        heard = 0

        def hear(self) -> None:
            Listener.heard += 1

    knob = Knob(F.everything)
    one = Listener()
    follow(knob, one, Listener.hear)
    follow(Fixed(F.everything), one, Listener.hear)
    knob.turn(F.nothing)
    assert Listener.heard == 1
    del one
    gc.collect()
    knob.turn(F.everything)
    assert Listener.heard == 1
    assert knob.told == []


def test_tombstoned_rows_are_never_kept(ds):
    first = ds.head(1)["id"].tolist()
    ds.tombstone(first)
    assert rows_kept(ds, F.everything).tolist() == [1, 2, 3]
