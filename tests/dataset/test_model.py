"""A dataset lives through any sequence of calls and always equals a plain model.

The ordinary run tries 40 lives of 20 steps; ``HYPOTHESIS_PROFILE=nightly`` 200 of 30.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.dataset.kit import FIELDS, new_dataset, new_root, same, table
from tests.overlay.test_merge import VALUES
from usr_nb import Dataset, compute_id, merge_datasets, register_namespace
from usr_nb.contract.types import parse_type

#: 200 lives of 30 steps where it counts; a developer's own run is shorter.
FULL = os.environ.get("CI") == "true" or os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
WORDS = ["AC", "ac", "GT", "gt", "TTA", "tta", "CCC", "GGA", "CAT", "cat"]
IDS = {w: compute_id("dna", w) for w in WORDS}
COLUMNS = {"m": [f"m__{f}" for f in FIELDS], "k": ["k__x", "k__y"]}
TYPES = {f"m__{f}": parse_type(t) for f, t in FIELDS.items()}
TYPES |= {"k__x": pa.float64(), "k__y": pa.string()}
STATE = ["masked", "qc_status", "split", "supersedes", "lineage"]
CELLS = {f"m__{f}": VALUES[f] for f in FIELDS}
CELLS |= {"k__x": VALUES["n"], "k__y": VALUES["s"]}
some_words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True)
STATE_VALUES = st.fixed_dictionaries(
    {},
    optional={
        "masked": st.booleans(),
        "qc_status": st.sampled_from(["pass", "fail", "warn", "unknown"]),
        "split": st.sampled_from(["train", "val", "test", "holdout"]),
        "supersedes": st.sampled_from(list(IDS.values())),
        "lineage": st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2),
    },
).filter(bool)


class Model:
    """Rows in order, what overlays say, what the base holds, who is hidden."""

    def __init__(self) -> None:
        self.rows: list[str] = []
        self.spoken: dict[str, dict[tuple[str, str], Any]] = {"m": {}, "k": {}, "usr_state": {}}
        self.held: dict[str, set[str]] = {"m": set(), "k": set(), "usr_state": set()}
        self.base: dict[str, dict[str, Any]] = {}
        self.hidden: set[str] = set()
        self.dropped: set[str] = set()

    def value(self, word: str, column: str) -> Any:
        spoken = self.spoken[column.split("__", maxsplit=1)[0]]
        if (word, column) in spoken:
            return spoken[word, column]
        return self.base.get(column, {}).get(word)

    def columns(self) -> set[str]:
        return set(self.base) | {c for held in self.held.values() for c in held}

    def say(self, ns: str, word: str, column: str, value: Any) -> None:
        self.held[ns].add(column)
        self.spoken[ns][word, column] = value

    def add(self, words: list[str], *, keep_values: bool) -> None:
        for word in words:
            self.rows.append(word)
            for cells in self.base.values():
                cells.pop(word, None)
            if word in self.dropped and not keep_values:
                for spoken in self.spoken.values():
                    for at in [a for a in spoken if a[0] == word]:
                        del spoken[at]

    def drop(self, words: set[str]) -> None:
        self.rows = [w for w in self.rows if w not in words]
        self.hidden -= words
        self.dropped |= words
        for cells in self.base.values():
            for word in words:
                cells.pop(word, None)

    def settle(self, ns: str, *, forget: bool) -> None:
        for column in self.held[ns] | {c for c in self.base if c.startswith(f"{ns}__")}:
            self.base[column] = {w: self.value(w, column) for w in self.rows}
        if forget:
            self.held[ns] = set()
            self.spoken[ns] = {}


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        # What survives a power cut is proven elsewhere; here thousands of commits must be cheap.
        self.quick = mock.patch("os.fsync", return_value=None)
        self.quick.start()
        self.folder = Path(tempfile.mkdtemp(prefix="usr-life-"))
        self.root = new_root(self.folder / "root")
        self.model = Model()
        self.others = 0

    @initialize(words=some_words)
    def begin(self, words: list[str]) -> None:
        self.ds = new_dataset(self.root, "ns/life", [])
        self.ds.import_rows(words)
        self.model.add(words, keep_values=False)

    def pick(self, words: list[str]) -> list[str]:
        return [w for w in words if w in self.model.rows]

    @rule(words=some_words, keep_values=st.booleans())
    def import_rows(self, words: list[str], keep_values: bool) -> None:
        new = [w for w in words if w not in self.model.rows]
        added = self.ds.import_rows(words, on_conflict="ignore", keep_values=keep_values)
        assert added == len(new)
        self.model.add(new, keep_values=keep_values)

    @rule(words=some_words, value=st.floats(allow_nan=False))
    def import_and_keep(self, words: list[str], value: float) -> None:
        new = [w for w in words if w not in self.model.rows]
        rows = [{"sequence": w, "x": value} for w in words]
        self.ds.import_rows(rows, on_conflict="ignore", keep="kept")
        self.model.add(new, keep_values=False)
        self.model.spoken.setdefault("kept", {})
        held = self.model.held.setdefault("kept", set())
        if new:
            held.add("kept__x")
        for w in new:
            self.model.say("kept", w, "kept__x", value)

    @rule(ns=st.sampled_from(["m", "k"]), words=some_words, data=st.data(), guarded=st.booleans())
    def write(self, ns: str, words: list[str], data: st.DataObject, guarded: bool) -> None:
        columns = data.draw(
            st.lists(st.sampled_from(COLUMNS[ns]), min_size=1, max_size=3, unique=True)
        )
        cells = {c: [data.draw(st.one_of(st.none(), CELLS[c])) for _ in words] for c in columns}
        key = "id" if ns == "m" else "sequence"
        keys = [IDS[w] if ns == "m" else f" {w}\n" for w in words]
        given = pa.table({key: keys, **{c: pa.array(v, TYPES[c]) for c, v in cells.items()}})
        if guarded:
            n = self.ds.write_overlay(ns, given, key=key, overwrite=True, allow_missing=True)
        else:
            n = self.ds.write_overlay_part(ns, given, key=key, allow_missing=True)
        assert n == len(self.pick(words))
        for c in columns:
            for word, value in zip(words, cells[c], strict=True):
                if word in self.model.rows:
                    self.model.say(ns, word, c, value)

    @rule(words=some_words, restore=st.booleans())
    def hide_or_show(self, words: list[str], restore: bool) -> None:
        there = self.pick(words)
        ids = [IDS[w] for w in words]
        if restore:
            n = self.ds.restore(ids, allow_missing=True)
            assert n == len(self.model.hidden & set(there))
            self.model.hidden -= set(there)
        else:
            assert self.ds.tombstone(ids, reason="r", allow_missing=True) == len(there)
            self.model.hidden |= set(there)

    @rule(words=some_words, values=STATE_VALUES)
    def set_state(self, words: list[str], values: dict[str, Any]) -> None:
        there = self.pick(words)
        assert self.ds.set_state([IDS[w] for w in words], allow_missing=True, **values) == len(
            there
        )
        for w in there:
            now = {f: self.model.value(w, f"usr_state__{f}") for f in STATE} | values
            for f in STATE:
                self.model.say("usr_state", w, f"usr_state__{f}", now[f])

    @rule(words=some_words)
    def clear_state(self, words: list[str]) -> None:
        there = self.pick(words)
        assert self.ds.clear_state([IDS[w] for w in words], allow_missing=True) == len(there)
        for w in there:
            for f in STATE:
                self.model.say("usr_state", w, f"usr_state__{f}", None)

    @rule(
        only=st.booleans(),
        overlays=st.sampled_from(["keep", "drop", "archive"]),
        drop_deleted=st.booleans(),
        snapshot=st.booleans(),
    )
    def materialize(self, only: bool, overlays: str, drop_deleted: bool, snapshot: bool) -> None:
        there = [ns for ns in sorted(self.model.held) if self.model.held[ns]]
        chosen = there[:1] if only else there
        with self.ds.maintenance(reason="model"):
            self.ds.materialize(
                chosen if only and chosen else None,
                keep_overlays=overlays != "drop",
                archive_overlays=overlays == "archive",
                drop_deleted=drop_deleted,
                snapshot_before=snapshot,
            )
        for ns in chosen:
            self.model.settle(ns, forget=overlays != "keep")
        if drop_deleted:
            self.model.drop(set(self.model.hidden))

    @precondition(lambda self: any(self.model.held[n] for n in ("m", "k")))
    @rule(single=st.booleans(), data=st.data())
    def compact(self, single: bool, data: st.DataObject) -> None:
        ns = data.draw(st.sampled_from([n for n in ("m", "k") if self.model.held[n]]))
        with self.ds.maintenance(reason="model"):
            self.ds.compact_overlay(ns, single_file=single)

    @rule(ns=st.sampled_from(["m", "k"]), archive=st.booleans())
    def remove(self, ns: str, archive: bool) -> None:
        removed = self.ds.remove_overlay(
            ns, mode="archive" if archive else "delete", missing_ok=True
        )
        assert bool(removed) == bool(self.model.held[ns])
        self.model.held[ns] = set()
        self.model.spoken[ns] = {}

    @rule(last=st.booleans())
    def dedupe(self, last: bool) -> None:
        groups: dict[str, list[str]] = {}
        for w in self.model.rows:
            groups.setdefault(w.upper(), []).append(w)
        gone: set[str] = set()
        for words in groups.values():
            shown = [w for w in words if w not in self.model.hidden] or words
            gone |= set(words) - {shown[-1 if last else 0]}
        with self.ds.maintenance(reason="model"):
            keep = "keep-last" if last else "keep-first"
            assert self.ds.dedupe("sequence_ci", keep).rows_dropped == len(gone)
        self.model.drop(gone)

    @rule(words=some_words, hidden=st.booleans())
    def merge(self, words: list[str], hidden: bool) -> None:
        self.others += 1
        source = new_dataset(self.root, f"src/n{self.others}", words)
        if hidden:
            source.tombstone(IDS[words[0]])
            words = words[1:]
        known = {w.upper() for w in self.model.rows}
        new = []
        for w in words:
            if w not in self.model.rows and w.upper() not in known:
                new.append(w)
                known.add(w.upper())
        result = merge_datasets(self.root, dest="ns/life", src=source.name)
        assert result.rows_added == len(new)
        assert result.duplicates_total == len(self.pick(words))
        self.model.add(new, keep_values=False)
        shutil.rmtree(source.dir)

    @rule()
    def register(self) -> None:
        self.others += 1
        register_namespace(self.root, namespace=f"other{self.others}", columns="x:int8")

    @rule()
    def reopen(self) -> None:
        self.ds = Dataset.open(self.root, "life")

    @rule()
    def validate(self) -> None:
        assert self.ds.validate(registry_mode="namespace-current", strict=True).errors == []
        assert self.ds.validate().errors == []

    @invariant()
    def equals_the_model(self) -> None:
        if not hasattr(self, "ds"):
            return
        model = self.model
        found = table(self.ds, include_deleted=True, batch_size=3)
        derived = {n for n in found.schema.names if "__" in n and not n.startswith("usr__")}
        assert derived == model.columns()
        assert found.column("sequence").to_pylist() == model.rows
        for c in sorted(derived):
            got = [same(v) for v in found.column(c).to_pylist()]
            assert got == [same(model.value(w, c)) for w in model.rows], c
        live = [w for w in model.rows if w not in model.hidden]
        shown = table(self.ds, batch_size=2)
        assert shown.column("sequence").to_pylist() == live
        for c in sorted(derived):
            got = [same(v) for v in shown.column(c).to_pylist()]
            assert got == [same(model.value(w, c)) for w in live], c
        if live:
            record = self.ds.get([IDS[w] for w in live[::-1]], columns=["sequence"])
            assert list(record["sequence"]) == live[::-1]

    def teardown(self) -> None:
        try:
            if hasattr(self, "ds"):
                assert self.ds.validate(registry_mode="namespace-either").errors == []
                assert self.ds.info().rows == len(self.model.rows)
        finally:
            self.quick.stop()
            shutil.rmtree(self.folder, ignore_errors=True)


#: So many are independent of each other, for two processes to share.
SHARES = 4


class FirstLives(Life):
    pass


class SecondLives(Life):
    pass


class ThirdLives(Life):
    pass


class FourthLives(Life):
    pass


@pytest.mark.parametrize("lives", [FirstLives, SecondLives, ThirdLives, FourthLives])
def test_OVL_3_any_life_equals_the_model(lives: type[Life]) -> None:
    run_state_machine_as_test(lives, settings=settings(
        max_examples=(200 if FULL else 40) // SHARES,
        stateful_step_count=30 if FULL else 20,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    ))  # fmt: skip
