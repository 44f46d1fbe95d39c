"""The runner of seeded mistakes tells caught from survived from broken, on a toy tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/mutate.py"

CODE = "def double(x):\n    return x * 2\n\n\ndef half(x):\n    return x / 2\n"
TESTS = """
from toy import double, half

def test_double():
    assert double(3) == 6

def test_half_runs():
    half(4)
"""


def entry(name: str, **changes: object) -> str:
    fields = {
        "id": name,
        "rule": "TOY-1",
        "file": "toy.py",
        "find": "x * 2",
        "replace": "x * 3",
        "tests": ["tests/test_toy.py::test_double"],
        **changes,
    }
    # A Python literal of text, numbers and lists is TOML as well.
    return "[[mutant]]\n" + "".join(f"{k} = {v!r}\n" for k, v in fields.items())


def run(root: Path, *entries: str, args: tuple[str, ...] = ()) -> tuple[int, str]:
    (root / "tests/mutants").mkdir(parents=True, exist_ok=True)
    (root / "toy.py").write_text(CODE)
    (root / "tests/test_toy.py").write_text(TESTS)
    (root / "tests/mutants/toy.toml").write_text("\n".join(entries))
    command = [sys.executable, str(SCRIPT), "--root", str(root), *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (root / "toy.py").read_text() == CODE, "the tree itself is never touched"
    return done.returncode, done.stdout + done.stderr


def test_tells_caught_survived_and_broken_apart(tmp_path: Path):
    code, out = run(
        tmp_path,
        entry("good"),
        entry("by-expression", tests=["-k double"]),
        entry("weak", find="x / 2", replace="x / 3", tests=["tests/test_toy.py::test_half_runs"]),
        entry("hangs", replace="[x for _ in iter(int, 1)]", timeout=4),
        entry("gone", find="x * 5"),
        entry("twice", find="return x", replace="return 1"),
        entry("syntax", replace="x *"),
        entry("import", find="def double", replace="def dubble"),
        args=("--jobs", "2"),
    )
    assert code == 1
    outcome = {ln.split()[1]: ln.split()[0] for ln in out.splitlines() if "[TOY-1]" in ln[:60]}
    said = {k: v for k, v in outcome.items() if k not in {"SURVIVED", "BROKEN"}}
    assert said == {
        "good": "caught",
        "by-expression": "caught",
        "weak": "SURVIVED",
        "hangs": "caught",
        "gone": "BROKEN",
        "twice": "BROKEN",
        "syntax": "BROKEN",
        "import": "BROKEN",
    }
    assert out.splitlines()[-1] == "3 passed, 5 failed"


def test_all_caught_is_success_and_only_narrows(tmp_path: Path):
    entries = (entry("good"), entry("weak", tests=["tests/test_toy.py::test_half_runs"]))
    code, out = run(tmp_path, *entries, args=("--only", "good"))
    assert code == 0
    assert out.splitlines()[-1] == "1 passed, 0 failed"
    code, out = run(tmp_path, *entries, args=("--only", "absent"))
    assert code == 1
    assert "absent" in out


def test_a_budget_names_what_it_leaves_out(tmp_path: Path):
    code, out = run(tmp_path, entry("good"), args=("--budget", "0"))
    assert code == 1, "nothing was tried, so nothing is proven"
    assert "left out 1" in out
    assert "good" in out


def test_a_seed_decides_who_comes_first(tmp_path: Path):
    """A budget must not leave out the same ones for ever."""
    entries = [entry(f"m{n}") for n in range(8)]

    def order(seed: str) -> list[str]:
        _, out = run(tmp_path, *entries, args=("--budget", "0", "--seed", seed))
        line = next(ln for ln in out.splitlines() if "left out" in ln)
        return line.rpartition(": ")[2].split(", ")

    assert order("a") == order("a")
    assert sorted(order("a")) == sorted(order("b"))
    assert order("a") != order("b")


def test_tests_must_pass_without_a_mistake(tmp_path: Path):
    code, out = run(tmp_path, entry("red", tests=["tests/test_toy.py::test_absent"]))
    assert code == 1
    assert "do not pass without a mistake" in out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tests": []}, "tests must be a list"),
        ({"replace": "x * 2"}, "must differ"),
        ({"file": "../toy.py"}, "in the checkout"),
        ({"colour": "red"}, "unknown colour"),
    ],
)
def test_malformed_entries_are_refused(tmp_path: Path, changes: dict[str, object], says: str):
    code, out = run(tmp_path, entry("bad", **changes))
    assert code == 1
    assert says in out


def test_no_list_and_equal_ids_are_refused(tmp_path: Path):
    assert run(tmp_path)[0] == 1
    code, out = run(tmp_path, entry("same"), entry("same"))
    assert code == 1
    assert "used twice: same" in out
