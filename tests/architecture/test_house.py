"""The house as it stands: docs/architecture.md, read off the code."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.architecture.checkers import door, floors, size, tracked
from tests.architecture.checkers.source import Module, read_package

ROOT = Path(__file__).resolve().parents[2]

#: What `import usr_nb` may not load: all of it takes longer than most uses of the package.
SLOW = {"IPython", "altair", "anywidget", "click", "duckdb", "marimo", "pandas", "rich", "typer"}


@functools.cache
def package() -> list[Module]:
    modules = read_package(ROOT)
    assert len(modules) > 5, "the package was not found"
    return modules


def shown(found: list[str]) -> str:
    return "\n" + "\n".join(found)


def test_floors_look_down_only():
    found = floors.check_ranks(package())
    assert not found, shown(found)


def test_no_import_cycles():
    found = floors.check_cycles(package())
    assert not found, shown(found)


def test_no_import_is_hidden_in_a_function():
    found = floors.check_hidden_imports(package())
    assert not found, shown(found)


def test_the_lazy_table_names_what_exists():
    found = floors.check_lazy_table(package())
    assert not found, shown(found)


def test_files_and_functions_stay_small():
    found = size.check_sizes(package())
    assert not found, shown(found)


def test_everything_goes_through_the_one_door():
    found = door.check_door(package())
    assert not found, shown(found)


def test_rank_table_is_the_one_in_the_docs():
    text = (ROOT / "docs/architecture.md").read_text("utf-8")
    said = {}
    for floor, names in re.findall(r"^\| (\d) \| (.*?) \|", text, re.MULTILINE):
        for name in re.findall(r"`(\w+)(?:/|\.py)`", names):
            said[name] = int(floor)
    assert len(said) >= 12
    assert said == {k: v for k, v in floors.RANKS.items() if not k.startswith("_")}


def test_import_loads_nothing_slow():
    code = "import json, sys, usr_nb; print(json.dumps([usr_nb.__file__, *sys.modules]))"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    where, *loaded = json.loads(run.stdout)
    assert Path(where).is_relative_to(ROOT)
    assert not SLOW & {name.partition(".")[0] for name in loaded}


def test_no_registry_address_and_no_machine_path_is_committed():
    texts = tracked.read_texts(ROOT)
    assert "pyproject.toml" in texts
    found = tracked.check_texts(texts)
    assert not found, shown(found)


def test_no_page_has_a_placeholder_left():
    found = tracked.check_placeholders(tracked.read_texts(ROOT))
    assert not found, shown(found)


def test_constraints_are_plain_pins():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    assert not [p for p in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+]+", p)]
