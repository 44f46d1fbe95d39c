"""The table of divergences: what each side did, and what both must hold in the end (SYN-4).

A row says what this side did and what the remote did, in this order, from the store of `meet`.
`ends` is what both hold when one side has received and then the other: values that differ from
those of the start, or None for a record that is gone. `files` says which files there are more (or
fewer) than at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.sync.meet import IDS, SEQUENCES, part
from usr_nb import Dataset, register_namespace

Work = Callable[[Dataset], object]
PARTS, SINGLE = "_derived/m/part-*.parquet", "_derived/k.parquet"
ARCHIVED = "_derived/_archived/m/*/part-*.parquet"
SNAPSHOT = "_snapshots/records-*-{}.parquet"
FROZEN = "_registry/registry.*.yaml"
NEW = ["AAAAAAAAAA", "CCCCCCCCCC", "GGGGGGGGGG"]


@dataclass(frozen=True)
class Row:
    """One divergence."""

    name: str
    local: Work | None
    remote: Work | None
    ends: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    #: With nothing chosen, both directions stop; each choice is then tried.
    conflict: str = ""
    #: What a choice of a side ends with.
    chosen: Mapping[str, Mapping[str, Mapping[str, Any] | None]] = field(default_factory=dict)
    #: Where the one that was not chosen is then found at the receiver, by shape.
    loser: str = ""
    state: Literal["ahead", "behind", "diverged", "same"] = "diverged"
    #: A file that only one side changed, and that the other then has in its new form alone.
    passed_on: str = ""
    #: Whether both copies must end with the same files.
    equal: bool = True


# Work ---------------------------------------------------------------------------------------------


def writes(values: dict[int, float], column: str = "m__x") -> Work:
    return lambda ds: ds.write_overlay_part(column.partition("__")[0], part(values, column))


def adds(*sequences: str) -> Work:
    return lambda ds: ds.add_sequences(list(sequences), bio_type="dna", alphabet="dna_4")


def maintains(verb: str, *args: Any, **options: Any) -> Work:
    def work(ds: Dataset) -> None:
        with ds.maintenance("test"):
            getattr(ds, verb)(*args, **options)

    return work


def all_of(*works: Work) -> Work:
    def work(ds: Dataset) -> None:
        for each in works:
            each(ds)

    return work


def new_namespace(name: str, kind: str = "int64") -> Work:
    def work(ds: Dataset) -> None:
        register_namespace(ds.root, namespace=name, columns=f"{name}__v:{kind}")
        value = 7 if kind == "int64" else "seven"
        ds.write_overlay_part(name, part({0: value}, f"{name}__v"))  # type: ignore[dict-item]

    return work


def text(path: str, content: str) -> Work:
    def work(ds: Dataset) -> None:
        at = ds.dir / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(content)

    return work


def removes(pattern: str) -> Work:
    """Take files away by hand, which no event explains."""

    def work(ds: Dataset) -> None:
        found = sorted(ds.dir.glob(pattern))
        assert found, pattern
        for path in found:
            path.unlink()

    return work


def snapshot_called(stamp: str, data: bytes | None = None) -> Work:
    def work(ds: Dataset) -> None:
        path: Path = ds.snapshot_dir / f"records-{stamp}-same.parquet"
        path.write_bytes(ds.records_path.read_bytes() if data is None else data)

    return work


def appends_text(line: str) -> Work:
    def work(ds: Dataset) -> None:
        at = ds.meta_path
        at.write_text(at.read_text() + f"{line}\n")

    return work


def told(action: str) -> Work:
    return lambda ds: ds.log_event(action, args={"n": 1})


materialized = maintains("materialize", ["m"])
archived = maintains("materialize", ["m"], archive_overlays=True)
dropped = maintains("materialize", ["m"], keep_overlays=False)
compacted = maintains("compact_overlay", "m")
A, B, C, D = SEQUENCES


def x(value: float, **more: Any) -> dict[str, Any]:
    return {"m__x": value, **more}


ROWS: tuple[Row, ...] = (
    # Parts, events, names
    Row("parts-on-both", writes({0: 8.0, 2: 7.0}), writes({0: 9.0}),
        {A: x(9.0), C: x(7.0)}, {PARTS: 2}),
    Row("part-here", writes({0: 8.0}), None, {A: x(8.0)}, {PARTS: 1}, state="ahead"),
    Row("part-there", None, writes({0: 8.0}), {A: x(8.0)}, {PARTS: 1}, state="behind"),
    Row("two-columns-of-one-record", writes({0: 8.0}), writes({0: "b"}, "m__y"),  # type: ignore[dict-item]
        {A: x(8.0, m__y="b")}, {PARTS: 2}),
    Row("events-on-both", told("my_tool.ran"), told("other_tool.ran")),
    Row("namespaces-on-both", new_namespace("p"), new_namespace("q"),
        {A: {"p__v": 7, "q__v": 7}},
        {"_derived/p/part-*.parquet": 1, "_derived/q/part-*.parquet": 1, FROZEN: 2}),
    Row("namespace-defined-in-two-ways", new_namespace("p"), new_namespace("p", "string"),
        conflict="defined in two ways"),
    # The base
    Row("rows-on-both", adds(NEW[0]), adds(NEW[1]), {NEW[0]: {}, NEW[1]: {}}),
    Row("same-rows-on-both", adds(NEW[0]), adds(NEW[0]), {NEW[0]: {}}),
    Row("some-rows-the-same", adds(NEW[0], NEW[2]), adds(NEW[1], NEW[0]),
        {n: {} for n in NEW}),
    Row("rows-here", adds(NEW[0]), None, {NEW[0]: {}}, state="ahead"),
    Row("rows-there-parts-here", writes({0: 8.0}), adds(NEW[1]),
        {A: x(8.0), NEW[1]: {}}, {PARTS: 1}),
    Row("cells-on-both", all_of(writes({0: 5.0}), dropped), all_of(writes({0: 6.0}), dropped),
        conflict="--prefer",
        chosen={"local": {A: x(5.0)}, "remote": {A: x(6.0)}},
        loser=SNAPSHOT),
    Row("rows-dropped-and-added", maintains("materialize", ["m"], drop_deleted=True),
        adds(NEW[0]), conflict="base has m__x",
        chosen={"local": {}, "remote": {NEW[0]: {}}}, loser=SNAPSHOT),
    Row("rows-dropped-here", maintains("materialize", ["m"], drop_deleted=True),
        lambda ds: ds.tombstone(IDS[0]), {A: None}),
    # Materialized on one side
    Row("materialized-here-part-there", materialized, writes({0: 9.0}), {A: x(9.0)}, {PARTS: 1}),
    Row("materialized-there", None, materialized, state="behind"),
    Row("archived-here-part-there", archived, writes({0: 9.0}), {A: x(9.0)}, {PARTS: -1}),
    Row("dropped-here-part-there", dropped, writes({0: 9.0}), {A: x(9.0)}, {PARTS: -1}),
    Row("part-here-dropped-there", writes({0: 9.0}), dropped, {A: x(9.0)}, {PARTS: -1}),
    Row("dropped-there", None, dropped, {}, {PARTS: -2}, state="behind"),
    # Compacted
    Row("compacted-here-part-there", compacted, writes({0: 9.0}), {A: x(9.0)}, {PARTS: 0}),
    Row("part-here-compacted-there", writes({0: 9.0}), compacted, {A: x(9.0)}, {PARTS: 0}),
    Row("compacted-on-both", compacted, compacted, {}, {PARTS: -1}),
    Row("compacted-and-removed", compacted, maintains("remove_overlay", "m", "archive"),
        {A: {"m__x": None}, B: {"m__x": None}, C: {"m__x": None}}, {PARTS: -2}),
    Row("single-file-here-part-there", maintains("compact_overlay", "m", single_file=True),
        writes({0: 9.0}), {A: x(9.0)}, {PARTS: -1, "_derived/m.parquet": 1}),
    Row("compacted-with-parts-on-both", all_of(writes({0: 5.0}), compacted),
        all_of(writes({1: 6.0}), compacted), conflict="hold values in common",
        chosen={"local": {A: x(5.0)}, "remote": {B: x(6.0)}}, loser=ARCHIVED),
    # Hidden records, and their state
    Row("tombstones-on-both", lambda ds: ds.tombstone(IDS[0]), lambda ds: ds.tombstone(IDS[1]),
        {A: None, B: None}),
    Row("restored-here-tombstone-there", lambda ds: ds.restore(IDS[3]),
        lambda ds: ds.tombstone(IDS[0]), {D: {"k__z": 3}, A: None}),
    Row("tombstone-of-one-on-both", lambda ds: ds.tombstone(IDS[0], reason="a"),
        lambda ds: ds.tombstone(IDS[0], reason="b"), {A: None}),
    Row("states-on-both", lambda ds: ds.set_state(IDS[0], masked=True),
        lambda ds: ds.set_state(IDS[:2], split="val"),
        {A: {"usr_state__masked": True, "usr_state__split": "val"},
         B: {"usr_state__split": "val"}}),
    Row("one-state-on-both", lambda ds: ds.set_state(IDS[0], split="val"),
        lambda ds: ds.set_state(IDS[0], split="test"), {A: {"usr_state__split": "test"}}),
    Row("state-here-tombstone-there", lambda ds: ds.set_state(IDS[1], qc_status="pass"),
        lambda ds: ds.tombstone(IDS[2]), {B: {"usr_state__qc_status": "pass"}, C: None}),
    # Taken away
    Row("removed-here-part-there", maintains("remove_overlay", "m", "delete"), writes({0: 9.0}),
        {A: x(9.0), B: {"m__x": None}, C: {"m__x": None}}, {PARTS: -1}),
    Row("archived-overlay-there", None, maintains("remove_overlay", "k", "archive"),
        {s: {"k__z": None} for s in (A, B, C)}, {SINGLE: -1}, state="behind"),
    Row("part-gone-by-hand-here", removes("_derived/m/part-*"), writes({0: 9.0}),
        {A: x(9.0)}, {PARTS: 1}, state="behind"),
    Row("part-gone-by-hand-there", None, removes("_derived/m/part-*"), {}, {}, state="ahead"),
    Row("snapshot-gone-by-hand-there", None, removes("_snapshots/*"), {}, {}, state="ahead"),
    # Snapshots
    Row("snapshots-on-both", lambda ds: ds.snapshot("mine"), lambda ds: ds.snapshot("theirs"),
        {}, {SNAPSHOT.format("mine"): 1, SNAPSHOT.format("theirs"): 1}),
    Row("one-snapshot-on-both", snapshot_called("20260101T000000000000"),
        snapshot_called("20260101T000000000000"), {}, {SNAPSHOT.format("same"): 1}, state="same"),
    Row("snapshot-of-two-contents", snapshot_called("20260101T000000000000", b"one"),
        snapshot_called("20260101T000000000000", b"two"), conflict="two contents"),
    # Files of other tools
    Row("foreign-on-both", text("notes/a.txt", "a\n"), text("b.txt", "b\n"),
        {}, {"notes/a.txt": 1, "b.txt": 1}),
    Row("foreign-of-odd-names", text("-rf", "a\n"), text(".part/x", "b\n"),
        {}, {"-rf": 1, ".part/x": 1}),
    Row("foreign-changed-there", None, text("notes/lab.txt", "new\n"), state="behind",
        passed_on="notes/lab.txt"),
    Row("foreign-changed-on-both", text("notes/lab.txt", "mine\n"),
        text("notes/lab.txt", "theirs\n"), equal=False),
    Row("notes-text-on-both", appends_text("mine"), appends_text("theirs"), equal=False),
)  # fmt: skip
