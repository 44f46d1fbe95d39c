"""Every parser, as a function of some bytes that ends in a result or a typed error."""

from __future__ import annotations

import gzip
import importlib
import importlib.util
import io
import os
import pickle
import random
import shutil
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.fuzz import mutate, seeds
from usr_nb import Dataset, filter_from_json, parse_filter, register_namespace
from usr_nb.contract import iupac, names, records, times
from usr_nb.contract.events import decode_event, encode_event, redact
from usr_nb.contract.registry import parse_columns_spec
from usr_nb.contract.types import is_registry_type, parse_type, type_text
from usr_nb.dataset.reading import search_pattern
from usr_nb.errors import SequencesError
from usr_nb.overlay.cast import cast_column
from usr_nb.overlay.parts import unpack_bitmap
from usr_nb.readers import open_rows
from usr_nb.storage import eventlog, footer, intents, notes, registryfile, roots, slots
from usr_nb.storage.follow import LogReader
from usr_nb.storage.layout import Layout
from usr_nb.sync import remotes
from usr_nb.tools.densegen import sites
from usr_nb.tools.legacy import Entries, load_pt
from usr_nb.tools.legacy_cells import LOGITS_KEY

PART = "_derived/m/part-20260101T000000000000Z-0123456789abcdef0123456789abcdef.parquet"
EXTRA = "_derived/m/part-20250101T000000000000Z-0123456789abcdef0123456789abcdef.parquet"
TORCH = importlib.util.find_spec("torch") is not None


class Place:
    """A folder with a root, one dataset, and something beside the root that nobody may touch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.file = folder / "input"
        self.dir = self.root / "ns" / "demo"
        self.made = False

    def dataset(self) -> Dataset:
        if not self.made:
            (self.folder / "victim").mkdir(exist_ok=True)
            (self.folder / "victim" / "keep.txt").write_text("mine")
            spec = ",".join(f"m__{k}:{v}" for k, v in seeds.FIELDS.items())
            register_namespace(self.root, namespace="m", columns=spec)
            ds = Dataset.open(self.root, "ns/demo")
            ds.init(source="test")
            ds.add_sequences(seeds.SEQUENCES, bio_type="dna", alphabet="dna_4")
            self._keep()
            self.made = True
        return Dataset.open(self.root, "ns/demo")

    def _keep(self) -> None:
        shutil.copytree(self.root, self.folder / "template")

    def restore(self) -> None:
        """Put the root back as it was made."""
        if self.made:
            shutil.rmtree(self.root)
            shutil.copytree(self.folder / "template", self.root)

    def put(self, path: str, data: bytes) -> None:
        target = self.dir / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def state(self) -> dict[str, tuple[int, ...]]:
        """Every file and folder; the time of the last change of any kind tells of a write."""
        found: dict[str, tuple[int, ...]] = {}
        todo = [str(self.folder)]
        while todo:
            with os.scandir(todo.pop()) as entries:
                for e in entries:
                    st = e.stat(follow_symlinks=False)
                    if e.is_dir(follow_symlinks=False):
                        todo.append(e.path)
                        found[e.path] = (st.st_ino,)
                    elif e.name not in (".usr.lock", "holder"):
                        found[e.path] = (st.st_ino, st.st_size, st.st_ctime_ns)
        return found


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes
    ----------
    name : str
        Of the target.
    seeds : callable
        Gives good inputs.
    run : callable
        Parses one input. Whatever it returns is a result; anything it raises that is no
        SequencesError is a fault.
    prepare : callable or None
        Puts the input where the parser finds it; not under test.
    binary, footer : bool
        How inputs are damaged; see ``mutate.make``.
    damage : callable or None
        Makes an input in a way of its own.
    writes : bool
        A result may change the root; it is put back afterwards. After an error nothing may have
        changed, for any target.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    run: Callable[[Place, bytes], object]
    prepare: Callable[[Place, bytes], None] | None = None
    binary: bool = False
    footer: bool = False
    writes: bool = False
    damage: Callable[[random.Random, Sequence[bytes]], bytes] | None = None


def text_of(data: bytes) -> str:
    """Text as a notebook may pass it: lone surrogates too."""
    return data.decode("utf-8", errors="surrogateescape")


def _to_file(place: Place, data: bytes) -> None:
    place.file.write_bytes(data)


def _rows(fmt: str) -> Callable[[Place, bytes], object]:
    def run(place: Place, data: bytes) -> object:
        rows = 0
        for batch in open_rows(place.file, fmt=fmt):
            batch.validate(full=True)
            rows += batch.num_rows
        return rows

    return run


def _in(path: str) -> Callable[[Place, bytes], None]:
    def prepare(place: Place, data: bytes) -> None:
        place.dataset()
        place.put(path, data)

    return prepare


def _read(place: Place, data: bytes) -> object:
    ds = place.dataset()
    first: SequencesError | None = None
    looks: list[Callable[[], object]] = [
        ds.info_dict,
        lambda: ds.head(3),
        ds.list_overlays,
        lambda: ds.get(seeds.IDS[0]),
        lambda: ds.get_state(seeds.IDS[:2]),
        lambda: ds.grep("ACG"),
        ds.describe,
        lambda: footer.read_counts(ds.records_path),
        lambda: ds.head(2, ["id", "m__n"], include_deleted=True),
    ]
    # All of them would take three times as long; which two depends on the input alone.
    which = zlib.crc32(data)
    for look in (
        lambda: [b.validate(full=True) for b in ds.scan(include_deleted=True)],
        looks[which % len(looks)],
        looks[which // 16 % len(looks)],
    ):
        # Each on its own: an error of one must not keep the others from being tried.
        try:
            look()
        except SequencesError as error:
            first = first or error
    if first is not None:
        raise first
    return "read"


def _import(place: Place, data: bytes) -> object:
    fmt = ("csv", "jsonl", "fasta", "parquet", "xlsx")[len(data) % 5]
    fmt = "parquet" if data[:4] == b"PAR1" else "xlsx" if data[:2] == b"PK" else fmt
    fmt = "jsonl" if data[:1] == b"{" else "fasta" if data[:1] == b">" else fmt
    ds = place.dataset()
    ds.import_report(place.file, fmt=fmt)
    return ds.import_file(place.file, fmt=fmt, on_conflict="ignore", keep="kept")


def _with_dataset(suffix: str = "") -> Callable[[Place, bytes], None]:
    def prepare(place: Place, data: bytes) -> None:
        place.dataset()
        place.file.with_suffix(suffix).write_bytes(data)

    return prepare


def _attach(place: Place, data: bytes) -> object:
    ds = place.dataset()
    return ds.attach(place.file.with_suffix(".csv"), "m", allow_missing=True, allow_overwrite=True)


def _duckdb(place: Place, data: bytes) -> object:
    ds = place.dataset()
    path = place.file.with_suffix(".parquet")
    return ds.attach(path, "m", parse_json=False, backend="duckdb", allow_missing=True)


def _registry(place: Place, data: bytes) -> object:
    found = registryfile.load(place.folder)
    for ns, entry in found.items():
        found.contract_hash(ns)
        for c in entry.columns:
            assert pa.field(c.name, c.arrow_type)
    return found.hash


def _registry_file(place: Place, data: bytes) -> None:
    (place.folder / "registry.yaml").write_bytes(data)


def _frozen(place: Place, data: bytes) -> object:
    return len(registryfile.frozen_hashes(Layout(place.folder)))


def _frozen_file(place: Place, data: bytes) -> None:
    folder = place.folder / "_registry"
    folder.mkdir(exist_ok=True)
    (folder / f"registry.{seeds.REGISTRY.hash}.yaml").write_bytes(data)


def _log_file(place: Place, data: bytes) -> None:
    place.dataset()
    place.put(".events.log", data)


def _log(place: Place, data: bytes) -> object:
    path = place.dir / ".events.log"
    looks: list[Callable[[], object]] = [
        lambda: _polled(path),
        lambda: [_again(e) for e in eventlog.read_events(path)],
        lambda: eventlog.logged_operations(path),
        lambda: eventlog.Mentions(path).has("x"),
        lambda: place.dataset().events(n=3),
        lambda: [decode_event(line) for line in data.splitlines()],
    ]
    # Each has its two seconds; which one depends on the input alone, as for the files above.
    return looks[zlib.crc32(data) % len(looks)]()


def _polled(path: Path) -> object:
    with LogReader(path) as reader:
        return [_again(e) for e in reader.poll()], reader.poll()


def _again(event: dict[str, Any]) -> None:
    with suppress(SequencesError):
        encode_event(redact(event))


def _slot_file(place: Place, data: bytes) -> None:
    place.dataset()
    place.restore()
    number = intents.highest_slot(Layout(place.dir)) + 1
    place.put(f"_txn/slot-{number:012d}", data)
    place.put(f"_txn/{seeds.INTENT['operation_id']}/f0", b"new")


def _slot(place: Place, data: bytes) -> object:
    ds = place.dataset()
    number = intents.highest_slot(Layout(place.dir))
    intents.read_slot(Layout(place.dir), number)
    slots.pending(Layout(place.dir))
    with suppress(SequencesError):
        ds.head(2)
    return slots.settle(Layout(place.dir))


def _spec(place: Place, data: bytes) -> object:
    return parse_columns_spec(text_of(data), "m")


def _type(place: Place, data: bytes) -> object:
    dtype = parse_type(text_of(data))
    assert parse_type(type_text(dtype)) == dtype
    return is_registry_type(dtype)


def _names(place: Place, data: bytes) -> object:
    text = text_of(data)
    tries: list[Callable[[], object]] = [
        lambda: names.check_dataset_id(text), lambda: names.check_namespace(text),
        lambda: names.qualify("m", text, essentials=frozenset({"id"})),
        lambda: names.check_column("m", text), lambda: names.check_snapshot_name(text),
        lambda: names.check_relative(text), lambda: times.parse(text),
        lambda: roots.literal_place(place.folder, text), lambda: roots.resolve(place.folder, text),
        lambda: records.check_state({"qc_status": text, "lineage": [text]}),
        lambda: names.namespace_of(text), lambda: Dataset.open(place.folder, text),
    ]  # fmt: skip
    first = None
    for attempt in tries:
        try:
            attempt()
        except SequencesError as error:
            first = first or error
    if first is not None:
        raise first
    return None


_KINDS = tuple(parse_type(t) for t in (*seeds.FIELDS.values(), "float16", "int8", "uint64",
    "list<struct<tf:string,count:int64>>", "fixed_size_list<int8>[3]", "timestamp[s]",
    "struct<a:list<list<bool>>>"))  # fmt: skip


def _cells(place: Place, data: bytes) -> object:
    text = data.decode("utf-8", errors="replace")
    column = pa.chunked_array([pa.array([text, *text.split("\n")[:5], None], pa.string())])
    first = None
    for kind in _KINDS:
        for parse_json in (True, False):
            try:
                cast_column(column, kind, name="m__x", parse_json=parse_json, where="t")
            except SequencesError as error:
                first = first or error
    if first is not None:
        raise first
    return None


_SUBJECT = pa.array(["ACGTACGTNNTTGACA" * 8, "", "acgt" * 500])


def _motif(place: Place, data: bytes) -> object:
    text = text_of(data)
    iupac.reverse_complement(text)
    pattern = search_pattern(text, iupac=True, both_strands=True)
    return pa.compute.match_substring_regex(_SUBJECT, pattern, ignore_case=True)


def _regex(place: Place, data: bytes) -> object:
    return len(place.dataset().grep(text_of(data)))


def _densegen(place: Place, data: bytes) -> object:
    cells = text_of(data).split("\n")
    which = zlib.crc32(data)
    if which % 3 == 0:
        return sites.factor_counts(cells)
    parts = sites.read_parts(cells)
    sequence = (cells[0], "TTGACA" + cells[-1] + "TATAAT")[which % 2]
    plan = (None, "sigma70_high", cells[0])[which // 8 % 3]
    return sites.is_well_formed(sites.derive(sequence, plan, parts).detail)


def _legacy_entry(place: Place, data: bytes) -> object:
    import json

    try:
        loaded = json.loads(data)
    except (ValueError, RecursionError):
        return None
    entries = Entries(4, None, profile_60bp=True)
    entries.add(place.file, loaded)
    return entries.overlays(_densegen_registry())


@cache
def _densegen_registry():
    from usr_nb.contract.registry import Column, NamespaceEntry, Registry
    from usr_nb.tools.legacy_cells import DECLARED

    columns = tuple(Column(n, t) for n, t in DECLARED["densegen"].items())
    return Registry({"densegen": NamespaceEntry(None, None, columns)})


def _pt_file(place: Place, data: bytes) -> None:
    place.file.with_suffix(".pt").write_bytes(data)


def _pt(place: Place, data: bytes) -> object:
    path = place.file.with_suffix(".pt")
    entries = Entries(4, None, profile_60bp=True)
    entries.add(path, load_pt(path))
    return entries.total


def _meta_file(place: Place, data: bytes) -> None:
    place.dataset()
    place.put("meta.md", data)


def _meta(place: Place, data: bytes) -> object:
    copy = Dataset.open(place.folder / "nowhere", place.dir)
    return notes.require_name(place.dir / "meta.md"), copy.info().rows


def _remotes_file(place: Place, data: bytes) -> None:
    (place.folder / "remotes.yaml").write_bytes(data)
    os.environ[remotes.ENV] = str(place.folder / "remotes.yaml")


def _remotes(place: Place, data: bytes) -> object:
    return remotes.load()


def _filter_line(place: Place, data: bytes) -> object:
    found = parse_filter(text_of(data))
    assert filter_from_json(found.to_json()) == found
    return found.as_line()


def _filter_json(place: Place, data: bytes) -> object:
    return filter_from_json(data).as_line()


def _bitmap(place: Place, data: bytes) -> object:
    return unpack_bitmap(text_of(data), 80)


def _pt_seeds() -> list[bytes]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("archive/data.pkl", pickle.dumps([{"sequence": "ACGT"}], protocol=2))
        z.writestr("archive/version", "3\n")
    return [out.getvalue(), pickle.dumps([{"sequence": "ACGT"}], protocol=2)]


def _in_gzip(dice: random.Random, good: Sequence[bytes]) -> bytes:
    """Damage before or after the text is packed, or pack a bomb."""
    if dice.random() < 0.01:
        return _bomb(dice.choice((1, 40)))
    text = mutate.make(dice, good) if dice.random() < 0.5 else dice.choice(good)
    packed = b"".join(gzip.compress(text, 1, mtime=0) for _ in range(dice.randint(1, 3)))
    return mutate.make(dice, [packed], binary=True) if dice.random() < 0.6 else packed


@cache
def _bomb(megabytes: int) -> bytes:
    return gzip.compress(bytes(megabytes << 20), 9, mtime=0)


def _in_zip(dice: random.Random, good: Sequence[bytes]) -> bytes:
    """Damage what is in the archive and pack it again, so that its checksums are right."""
    whole = dice.choice(good)
    if dice.random() < 0.3:
        return mutate.make(dice, good, binary=True)
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(whole)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        names = old.namelist()
        hit = "xl/worksheets/sheet1.xml" if dice.random() < 0.6 else dice.choice(names)
        for name in names:
            data = old.read(name)
            if name == hit:
                roll = dice.random()
                data = XML_BOMB if roll < 0.02 else mutate.make(dice, [data, *_XML])
            if name != hit or dice.random() < 0.95:
                new.writestr(name, data)
    return out.getvalue()


XML_BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "'
    + b"A" * 50
    + b'">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 20) for i in range(8))
    + b"]><worksheet><sheetData><row><c t='inlineStr'><is><t>&i;</t></is></c></row></sheetData>"
    + b"</worksheet>"
)
_XML = [b'<row r="2"><c r="A2" t="s"><v>99</v></c><c r="XFD1048576" t="e"><v>#N/A</v></c></row>',
        b'<row r="999999999"><c r="ZZZZZ9" t="b"><v>7</v></c><c t="d"><v>2026-13-45</v></c></row>',
]  # fmt: skip


def _material(*suffixes: str) -> list[bytes]:
    return [v for k, v in seeds.material().items() if k.endswith(suffixes)]


_REMOTES = (
    b"remotes:\n  lab: {type: ssh, host: h.example.org, user: u, base_dir: /data, port: 22}\n"
    b"  two:\n    type: ssh\n    host: h\n    user: u\n    base_dir: /x\n    ssh_key_env: KEY\n"
)
_FILTERS = [b"length in [50, 60] and not masked", b"(gc > 0.5 or m__n <= -1.5e3) and m__s is null",
            b"m__s == \"it's\" and not (length < 3)"]  # fmt: skip
_YAML = seeds.REGISTRY.as_yaml().encode()
_SPEC = b"m__x:float64,y:list<float32>,z:fixed_size_list<int8>[3],t:timestamp[us, UTC]"
_TYPES = [b"struct<a:list<struct<b:int8,c:string>>,d:fixed_size_list<float16>[12]>",
          b"list<list<timestamp[ns, UTC]>>", b"float64"]  # fmt: skip
_CELL = [b"[1, 2.5, null]", b"['a', None]", b'{"p": 1, "q": "x"}', b"(1, 2)", b"12.0", b"true",
         b"2026-01-31T12:00:00.5+02:00", b'[{"tf": "lexa", "count": 3}]',
         b'{"a": [[true]]}']  # fmt: skip
_ATTACH = (
    "id,n,i,s,b,l,r,v,t\n"
    + "".join(
        f'{i},1.5,2,x,true,"[1, 2]","{{""p"": 1}}","[1, 2]",2026-01-01\n' for i in seeds.IDS[:3]
    )
).encode()
_ENTRY = seeds.compact([
    {"sequence": "ACGT", "meta_source": "x", "plan": "p", "meta_tfbs_parts": ["lexa:CTGT"],
     "meta_gap_fill_details": {"fill_gc_range": [0.4, 0.6]}, LOGITS_KEY: [0.5] * 512},
    {"sequence": "TTTT"},
])  # fmt: skip
_EVENTS = (
    seeds.compact(seeds.EVENT) + b"\n" + seeds.compact({"action": "x", "artifacts": None}) + b"\n"
)

TARGETS: dict[str, Target] = {t.name: t for t in (
    Target("registry", lambda: [_YAML, b"namespaces: {}\n"], _registry, _registry_file),
    Target("registry-frozen", lambda: [_YAML], _frozen, _frozen_file),
    Target("csv", lambda: [seeds.CSV, *_material("csv")], _rows("csv"), _to_file),
    Target("tsv", lambda: [seeds.CSV.replace(b",", b"\t")], _rows("tsv"), _to_file),
    Target("csv-gz", lambda: [seeds.CSV], _rows("csv"), _to_file, damage=_in_gzip),
    Target("jsonl", lambda: [seeds.JSONL], _rows("jsonl"), _to_file),
    Target("fasta", lambda: [seeds.FASTA, *_material("fasta")], _rows("fasta"), _to_file),
    Target("fasta-gz", lambda: [seeds.FASTA], _rows("fasta"), _to_file, damage=_in_gzip),
    Target("xlsx", seeds.sheets, _rows("xlsx"), _to_file, damage=_in_zip),
    Target("parquet", seeds.tables, _rows("parquet"), _to_file, binary=True, footer=True),
    Target("import", lambda: [seeds.CSV, seeds.JSONL, seeds.FASTA, *seeds.tables()[:6]], _import,
           _with_dataset(), binary=True, writes=True),
    Target("attach", lambda: [_ATTACH], _attach, _with_dataset(".csv"), writes=True),
    Target("attach-duckdb", seeds.parts, _duckdb, _with_dataset(".parquet"), binary=True,
           footer=True,
           writes=True),
    Target("part", seeds.parts, _read, _in(PART), binary=True, footer=True),
    Target("single-file", seeds.parts, _read, _in("_derived/m.parquet"), binary=True, footer=True),
    Target("tombstones", seeds.tombstones, _read, _in("_derived/usr.parquet"), binary=True,
           footer=True),
    Target("state", seeds.states, _read, _in("_derived/usr_state.parquet"), binary=True,
           footer=True),
    Target("base", seeds.bases, _read, _in("records.parquet"), binary=True, footer=True),
    Target("events", lambda: [_EVENTS], _log, _log_file),
    Target("slot", lambda: [seeds.compact(seeds.INTENT)], _slot, _slot_file, writes=True),
    Target("meta", lambda: [b"name: ns/demo\ncreated_at: x\n"], _meta, _meta_file),
    Target("columns-spec", lambda: [_SPEC], _spec),
    Target("type-text", lambda: _TYPES, _type),
    Target("names", lambda: [b"densegen/demo", b"m__field", b"part-2026.parquet"], _names),
    Target("cells", lambda: _CELL, _cells),
    Target("motif", lambda: [b"TTGACA N{16,18} TATAAT", b"RYSWKM{2}BDHV"], _motif),
    Target("regex", lambda: [rb"(A|C)+G{2,3}[^T]\b(?i:x)\d*?$", rb"((a+)+)+$",
                             b"(x{1,99}){1,99}"], _regex, _with_dataset()),
    Target("densegen", lambda: [b"lexa:CTGTATAT\ncpxr:ACGT\n", b"LexA: C\n:\n"], _densegen),
    Target("legacy-entry", lambda: [_ENTRY], _legacy_entry),
    Target("remotes", lambda: [_REMOTES], _remotes, _remotes_file),
    Target("filter-line", lambda: _FILTERS, _filter_line),
    Target("filter-json", lambda: [parse_filter(f.decode()).to_json().encode() for f in _FILTERS],
           _filter_json),
    Target("unspoken", seeds.unspoken, _bitmap),
    *([Target("pt", _pt_seeds, _pt, _pt_file, binary=True)] if TORCH else []),
)}  # fmt: skip


def find(name: str) -> Target:
    """Return a target; ``USR_FUZZ_TARGETS=module:NAME`` names more of them, to test the harness."""
    more = os.environ.get("USR_FUZZ_TARGETS", "")
    if name in TARGETS or not more:
        return TARGETS[name]
    module, _, attribute = more.partition(":")
    found: Target = getattr(importlib.import_module(module), attribute)[name]
    return found
