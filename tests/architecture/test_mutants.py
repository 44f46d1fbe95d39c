"""The seeded mistakes fit the code as it is now: said here at once, not after minutes of CI.

Whether each is *caught* is for ``scripts/mutate.py`` and ``tests/crash/test_bugs.py`` to say.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.crash.bugs import MISTAKES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def mutate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutate", ROOT / "scripts/mutate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutate"] = module
    spec.loader.exec_module(module)
    return module


def test_every_seeded_mistake_fits_the_code(mutate: ModuleType):
    mutants = mutate.read_lists(ROOT)
    assert len(mutants) > 150
    found = mutate.find_stale(ROOT, mutants)
    assert not found, "\n" + "\n".join(found)


def test_every_mistake_of_the_crash_harness_can_be_made():
    for mistake in MISTAKES:
        with mistake.made():
            pass


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"file": "usr_nb/absent.py"}, "no such file"),
        ({"find": "no text of this file"}, "occurs 0 times"),
        ({"find": "import"}, "occurs"),
        ({"find": "def link(", "replace": "def link(("}, "does not compile"),
        ({"tests": ("tests/absent.py",)}, "no such test file"),
        ({"tests": ("tests/storage/test_door.py::test_absent",)}, "no such test: "),
        ({"tests": ("tests/storage/test_door.py::test_absent[1]",)}, "no such test: "),
        ({}, ""),
    ],
)
def test_a_stale_entry_is_found(mutate: ModuleType, changes: dict[str, object], says: str):
    fields = {"id": "x", "rule": "X-1", "file": "usr_nb/storage/door.py", "find": "def link(",
              "replace": "def lynk(", "tests": ("tests/storage/test_door.py",)}  # fmt: skip
    found = mutate.find_stale(ROOT, [mutate.Mutant(**{**fields, **changes})])
    assert [says in f for f in found] == ([True] if says else [])
