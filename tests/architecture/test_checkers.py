"""The checkers can fail: each finds the violations planted for it and lets the rest be."""

from __future__ import annotations

import textwrap

import pytest

from tests.architecture.checkers import door, floors, size, tracked
from tests.architecture.checkers.source import plant

LOW = "usr_nb/contract/ids.py"
MID = "usr_nb/overlay/merge.py"


def tree(**extra: str) -> dict[str, str]:
    """A small package on whose floors the planted modules stand."""
    base = {
        "usr_nb/__init__.py": "",
        "usr_nb/errors.py": "",
        "usr_nb/contract/__init__.py": "",
        "usr_nb/contract/names.py": "",
        "usr_nb/storage/__init__.py": "",
        "usr_nb/storage/view.py": "",
        "usr_nb/readers/__init__.py": "",
        "usr_nb/dataset/__init__.py": "",
        "usr_nb/dataset/core.py": "class Dataset: pass\n",
        "usr_nb/cli/__init__.py": "",
        "usr_nb/cli/main.py": "",
        "usr_nb/panel.py": "",
        "usr_nb/widgets/__init__.py": "",
    }
    return base | extra


@pytest.mark.parametrize(
    ("place", "line", "says"),
    [
        (LOW, "from usr_nb.storage import view", "must not look up"),
        (LOW, "from ..storage.view import x", "must not look up"),
        (LOW, "import usr_nb.dataset.core", "must not look up"),
        (MID, "from usr_nb.dataset.core import Dataset", "must not look up"),
        (MID, "from usr_nb.readers import rows", "neighbours"),
        ("usr_nb/cli/show.py", "from usr_nb import panel", "neighbours"),
        ("usr_nb/widgets/filter.py", "from usr_nb.panel import x", "neighbours"),
        (MID, "from usr_nb import Dataset", "above all floors"),
        (MID, "import usr_nb", "above all floors"),
        ("usr_nb/attic/x.py", "", "has no floor"),
        (MID, "from usr_nb.attic import x", "has no floor"),
        (
            LOW,
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import usr_nb.cli",
            "look up",
        ),
    ],
)
def test_ranks_find(place: str, line: str, says: str):
    found = floors.check_ranks(plant(tree(**{place: line})))
    assert len(found) == 1
    assert place in found[0]
    assert says in found[0]


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (LOW, "from usr_nb.contract import names\nfrom . import names as n\nimport hashlib"),
        (MID, "from usr_nb.storage import view\nfrom usr_nb.errors import SequencesError"),
        ("usr_nb/cli/show.py", "from usr_nb.dataset.core import Dataset"),
        ("usr_nb/panel.py", "from usr_nb.widgets import filter"),
    ],
)
def test_ranks_allow(place: str, line: str):
    assert floors.check_ranks(plant(tree(**{place: line}))) == []


def test_cycles_find_loops_of_any_length():
    a, b, c = (f"usr_nb/contract/{x}.py" for x in "abc")
    two = {a: "from usr_nb.contract import b", b: "import usr_nb.contract.a"}
    assert len(floors.check_cycles(plant(tree(**two)))) == 1
    three = {
        a: "from . import b",
        b: "from .c import x",
        c: "from usr_nb.contract.a import y",
    }
    (found,) = floors.check_cycles(plant(tree(**three)))
    assert found.count("->") == 3
    straight = {a: "from . import b, c", b: "from .c import x", c: ""}
    assert floors.check_cycles(plant(tree(**straight))) == []
    typed = {
        a: "from . import b",
        b: "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import a",
        c: "",
    }
    assert floors.check_cycles(plant(tree(**typed))) == []


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ("def f():\n    from usr_nb.contract import names", True),
        ("def f():\n    import json", True),
        ("class A:\n    def f(self):\n        if 1:\n            import rich", True),
        ("def f():\n    import typer", True),
        ("import importlib\ndef f():\n    importlib.import_module('usr_nb.cli.main')", True),
        ("import importlib\nx = importlib.import_module('usr_nb.cli.main')", True),
        ("from importlib import import_module\ndef f(n):\n    return import_module(n)", True),
        ("def f():\n    return __import__('json')", True),
        ("def f():\n    import duckdb, pandas as pd", False),
        ("async def f():\n    from altair import Chart", False),
        ("import importlib\ndef f():\n    return importlib.import_module('torch')", False),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import json", False),
        ("import json\ntry:\n    import tomllib\nexcept ImportError:\n    tomllib = None", False),
    ],
)
def test_hidden_imports(line: str, hidden: bool):
    assert bool(floors.check_hidden_imports(plant(tree(**{MID: line})))) is hidden


LAZY = """
from importlib import import_module
_NAMES = {%s}
def __getattr__(name):
    return getattr(import_module(_NAMES[name]), name)
"""


@pytest.mark.parametrize(
    ("table", "bad"),
    [
        ('"Dataset": "usr_nb.dataset.core", "panel": "usr_nb.panel"', 0),
        ('"Dataset": ".dataset.core"', 0),
        ('"usr_nb.dataset.core": ("Dataset",)', 0),
        ('"Dataset": ("usr_nb.dataset.core", "Dataset")', 0),
        ('"Dataset": "usr_nb.dataset.gone"', 1),
        ('"Datset": "usr_nb.dataset.core"', 1),
        ('"usr_nb.dataset.core": ("Dataset", "Datset")', 1),
        ('"main": "usr_nb.cli.main"', 1),
        ('"widgets": "usr_nb.widgets"', 1),
    ],
)
def test_lazy_table(table: str, bad: int):
    modules = plant(tree(**{"usr_nb/__init__.py": LAZY % table}))
    assert len(floors.check_lazy_table(modules)) == bad
    assert floors.check_hidden_imports(modules) == []


def test_lazy_home_loads_only_errors_at_once():
    eager = {"usr_nb/__init__.py": "from usr_nb.errors import X\nfrom .dataset.core import Dataset"}
    (found,) = floors.check_lazy_table(plant(tree(**eager)))
    assert "dataset.core" in found
    assert floors.check_lazy_table(plant({LOW: ""})) == ["usr_nb/__init__.py is missing"]


def test_sizes():
    long_file = "x = 1\n" * 601
    long_function = "def f():\n" + "    x = 1\n" * 80
    documented = 'def f():\n    """Doc.\n' + "\n" * 60 + '    """\n' + "    x = 1\n" * 79
    assert len(size.check_sizes(plant({LOW: long_file}))) == 1
    assert len(size.check_sizes(plant({LOW: long_function}))) == 1
    assert size.check_sizes(plant({LOW: documented})) == []
    assert size.check_sizes(plant({LOW: "x = 1\n" * 600})) == []


WRITES = """
open(p, "w")
open(p, mode="ab")
open(p, "r+")
open(p, "xb")
open(p, mode)
open(p, **options)
import io; io.open(p, "w")
import gzip; gzip.open(p, "wt")
from gzip import open as gz; gz(p, "w")
import io; io.FileIO(p, "w")
p.open("w")
p.open(mode="a")
p.open(mode)
p.open(**how)
p.open("rb" if x else self.mode)
import os; os.replace(a, b)
import os as o; o.rename(a, b)
from os import replace as swap; swap(a, b)
import os; f = os.unlink
import os; os.remove(p)
import os; os.link(a, b)
import os; os.symlink(a, b)
import os; os.mkdir(p)
import os; os.makedirs(p, exist_ok=True)
import os; os.rmdir(p)
import os; os.truncate(p, 0)
import os; os.chmod(p, 0)
import os; os.write(fd, b"")
import os; os.fsync(fd)
import os; os.copy_file_range(a, b, 1)
import os; os.open(p, os.O_WRONLY)
import os; os.open(p, os.O_RDONLY | os.O_CREAT)
import os; os.open(p, flags)
import os; os.system("rm x")
import os; getattr(os, "replace")(a, b)
import os; getattr(os, name)(a, b)
from os import *
import shutil; shutil.rmtree(p)
import shutil; shutil.copyfile(a, b)
from shutil import move
import shutil; f(shutil)
import tempfile; tempfile.mkdtemp()
from tempfile import TemporaryDirectory
import filelock; filelock.FileLock(p)
import ctypes
import sqlite3; sqlite3.connect(p)
import logging; logging.FileHandler(p)
p.write_text("x")
p.write_bytes(b"x")
p.unlink(missing_ok=True)
p.rename(q)
p.replace(q)
p.mkdir(parents=True)
p.touch()
p.rmdir()
p.hardlink_to(q)
p.symlink_to(q)
(p / "x").chmod(0)
import pyarrow.parquet as pq; pq.write_table(t, "x.parquet")
import pyarrow.parquet as pq; pq.write_table(t, where=path)
from pyarrow.parquet import ParquetWriter; ParquetWriter(str(path), schema)
import pyarrow as pa; pa.OSFile(p, "wb")
import pyarrow as pa; pa.OSFile(p, mode="w")
import pyarrow as pa; pa.memory_map(p, "r+")
import pyarrow as pa; pa.output_stream(p)
import pyarrow as pa; pa.CompressedOutputStream(p, "gzip")
import pyarrow.fs
from pyarrow import fs
import pyarrow.csv as c; c.write_csv(t, path)
import pyarrow.dataset as ds; ds.write_dataset(t, path)
import numpy as np; np.save(p, a)
df.to_csv(path)
df.to_parquet("x.parquet")
frame.write_parquet(path)
chart.save("x.png")
con.execute("COPY t TO 'x.parquet'")
con.execute(f"copy (select 1) to 'x.csv' ({o})")
import zipfile; zipfile.ZipFile(p, "a")
import tarfile; tarfile.open(p).extractall(q)
array.tofile(p)
"""

READS = """
open(p)
open(p, "rb")
open(p, encoding="utf-8")
p.open("r")
p.open("rb")
p.open()
view.open(path)
Dataset.open(root, "promoters/sos")
p.read_text("utf-8")
import os; os.open(p, os.O_RDONLY | os.O_CLOEXEC)
import os; os.stat(p); os.listdir(p); os.fspath(p); os.environ
import shutil; shutil.which("rsync")
from filelock import Timeout
"a".replace("b", "c")
when.replace(tzinfo=None)
df.rename(columns=names)
import pyarrow as pa; pa.OSFile(p, "rb"); pa.memory_map(p); pa.PythonFile(f, mode="r")
import pyarrow.parquet as pq; pq.ParquetFile(p); pq.read_table(p)
import gzip; gzip.open(p, "rt")
from usr_nb.storage import door; door.unlink(p); door.rename(a, b); door.replace(a)
from usr_nb.storage import door; door.mkdir(p)
df.to_csv()
df.to_csv(None)
"COPY the file TO where you want it"
import io; b = io.BytesIO(); df.to_csv(b)
"""


def lines(block: str) -> list[str]:
    return [line for line in block.splitlines() if line]


@pytest.mark.parametrize("line", lines(WRITES))
def test_door_finds(line: str):
    found = door.check_door(plant({MID: line}))
    assert found
    assert all(MID in f for f in found)
    assert door.check_door(plant({door.DOOR: line})) == [], "the door itself may"


@pytest.mark.parametrize("line", lines(READS))
def test_door_lets_reading_be(line: str):
    assert door.check_door(plant({MID: line})) == []


def function(body: str, arguments: str = "") -> str:
    head = "import io\nimport pyarrow.parquet as pq\nfrom usr_nb.storage import door\n"
    return f"{head}def f({arguments}):\n{textwrap.indent(textwrap.dedent(body), '    ')}\n"


KEEPER = """
import pyarrow.parquet as pq
from usr_nb.storage import door
class Keeper:
    def __init__(self):
        self.sink: door.Sink | None = None
    def start(self, p):
        self.sink = %s
    def fill(self, t):
        pq.write_table(t, self.sink)
"""


@pytest.mark.parametrize(
    ("source", "bad"),
    [
        (function("with door.new_file(p) as s:\n    pq.write_table(t, s)"), 0),
        (function("s = door.new_file(p)\npq.ParquetWriter(s, x)"), 0),
        (function("pq.write_table(t, s)", "s: door.Sink"), 0),
        (function("pq.write_table(t, s)", "s: IO[bytes] | Sink"), 0),
        (function("s = io.BytesIO()\npq.write_table(t, s)"), 0),
        (function("pq.write_table(t, s)", "s"), 1),
        (function("pq.write_table(t, s)", "s: Path"), 1),
        (function("pq.write_table(t, s)", "s: Sink | Path"), 1),
        (function("pq.write_table(t, s)", "s: IO[bytes] | Any"), 1),
        (function("s = door.new_file(p)\ns = p\npq.write_table(t, s)"), 1),
        (function("s = stack.enter_context(door.new_file(p))\npq.write_table(t, s)"), 0),
        (function("s = stack.enter_context(open(p))\npq.write_table(t, s)"), 1),
        (KEEPER % "door.new_file(p)", 0),
        (KEEPER % "p", 1),
        (function("def g(s):\n    pq.write_table(t, s)\ns = door.new_file(p)"), 1),
        (function("with somewhere(p) as s:\n    pq.write_table(t, s)"), 1),
    ],
)
def test_door_follows_sinks(source: str, bad: int):
    assert len(door.check_door(plant({MID: source}))) == bad


def test_door_lets_the_lock_lock():
    line = "from filelock import FileLock\nFileLock(p)"
    assert door.check_door(plant({"usr_nb/storage/lock.py": line})) == []
    assert door.check_door(plant({"usr_nb/storage/slots.py": line}))


def test_tracked_texts():
    # In pieces, or this file would be found by what it tests.
    bad = ["https://" + "pypi" + ".org/simple", "registry.npmjs" + ".org", "/wo" + "rk/main/x"]
    bad += ["cd /ro" + "ot/x", '"/ho' + 'me/someone/data"']
    good = [
        "network/root/x",
        "https://example.org/home/x",
        "pip install x",
        "{base}/home/x",
        "/tmp/x",
    ]
    assert len(tracked.check_texts({"a": "\n".join(bad)})) == len(bad)
    assert tracked.check_texts({"a": "\n".join(good)}) == []


def test_placeholders():
    texts = {"docs/a.md": "so many:\n@" + "@FIGURES@" + "@\n", "b.py": "a @" + "@ b", "c.md": "a@b"}
    assert tracked.check_placeholders(texts) == ["docs/a.md:2: left over: @" + "@FIGURES"]
