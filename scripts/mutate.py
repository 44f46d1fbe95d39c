#!/usr/bin/env python3
"""Seeded mistakes: proves that the tests can fail.

Each mistake is one small change of the code that breaks one rule; the tests named with it must
turn red. The lists are ``tests/mutants/*.toml``, one file per floor or theme:

    [[mutant]]
    id = "merge-newest-row-wins"        # unique over all lists; for --only and the report
    rule = "OVL-6"                      # the rule that it breaks
    file = "usr_nb/overlay/merge.py"    # relative to the checkout
    find = "text as it stands"          # must occur exactly once in the file; may span lines
    replace = "text of the mistake"     # the file must still compile
    tests = [                           # any of these must fail (one is enough):
      "tests/overlay/test_merge.py::test_OVL_6_columns_are_merged_one_by_one",  # a node id or path
      "-k OVL_6",                                                               # or -k EXPRESSION
    ]
    timeout = 60                        # optional, seconds; a run that hangs counts as caught
    why = "what would go wrong"         # optional, shown when it survives

The tree is copied to a temporary folder (one copy per job); the checkout itself is never
touched. First the listed tests run there without any mistake and must pass. Then one mistake at
a time is applied, its tests run with ``-x -q -p no:cacheprovider``, and the file is put back.

    caught     a listed test failed (or hung)
    SURVIVED   they all passed: the rule has no test that can fail
    BROKEN     nothing was proven: `find` not there once, no such test, code that cannot be imported

Exit code 1 if any survived or is broken. A survivor is tried twice more before it counts, as
property tests draw other examples each time. With `--budget` the commit decides which mistakes
come first, so that every one has its turn, and the same commit tries the same ones again; those
that no time was left for are named as left out. The last line reads ``N passed, M failed``.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", "node_modules", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info"
)
# At the top of the checkout only: a package may well hold a folder of such a name.
NOT_COPIED_FROM_TOP = {"demo", "build", "dist"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
FIELDS = {"id", "rule", "file", "find", "replace", "tests"}
OPTIONAL = {"timeout", "why"}
TIMEOUT = 120.0
# pytest's exit codes that say something other than "a test failed".
PASSED, FAILED, NO_TESTS = 0, 1, 5


class ListError(Exception):
    """A list of mistakes is malformed."""


@dataclass(frozen=True)
class Mutant:
    id: str
    rule: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
    timeout: float = TIMEOUT
    why: str = ""


@dataclass(frozen=True)
class Verdict:
    mutant: Mutant
    outcome: str  # "caught" | "SURVIVED" | "BROKEN"
    detail: str
    seconds: float


def read_lists(root: Path) -> list[Mutant]:
    """Read all mistakes in the order of files and entries; raise ListError on a malformed one."""
    mutants: list[Mutant] = []
    for path in sorted((root / "tests/mutants").glob("*.toml")):
        try:
            doc = tomllib.loads(path.read_text("utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ListError(f"{path.name}: {error}") from error
        if set(doc) - {"mutant"}:
            raise ListError(f"{path.name}: unknown table {sorted(set(doc) - {'mutant'})}")
        mutants += [_mutant(path.name, n, e) for n, e in enumerate(doc.get("mutant", []), 1)]
    ids = [m.id for m in mutants]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise ListError(f"ids used twice: {', '.join(twice)}")
    return mutants


def _mutant(source: str, number: int, entry: dict[str, object]) -> Mutant:
    place = f"{source}, mutant {number} ({entry.get('id', 'no id')})"
    if missing := FIELDS - set(entry):
        raise ListError(f"{place}: missing {', '.join(sorted(missing))}")
    if unknown := set(entry) - FIELDS - OPTIONAL:
        raise ListError(f"{place}: unknown {', '.join(sorted(unknown))}")
    tests = entry["tests"]
    if not isinstance(tests, list) or not tests or not all(isinstance(t, str) for t in tests):
        raise ListError(f"{place}: tests must be a list of at least one text")
    for name in ("id", "rule", "file", "find", "replace"):
        if not isinstance(entry[name], str):
            raise ListError(f"{place}: {name} must be text")
    if entry["find"] == entry["replace"] or not entry["find"]:
        raise ListError(f"{place}: find and replace must differ, and find must not be empty")
    path = Path(str(entry["file"]))
    if path.is_absolute() or ".." in path.parts:
        raise ListError(f"{place}: file must lie in the checkout")
    return Mutant(**{**entry, "tests": tuple(tests)})  # type: ignore[arg-type]


def find_stale(root: Path, mutants: Iterable[Mutant]) -> list[str]:
    """Say which entries no longer fit the tree, without running any test."""
    texts: dict[str, str | None] = {}

    def text(name: str) -> str | None:
        if name not in texts:
            path = root / name
            texts[name] = path.read_text("utf-8") if path.is_file() else None
        return texts[name]

    found = []
    for mutant in mutants:
        problems = [
            _misfit(mutant, text(mutant.file)),
            *(_absent(t, text, root) for t in mutant.tests),
        ]
        found += [f"{mutant.id} [{mutant.rule}]: {p}" for p in problems if p]
    return found


def _misfit(mutant: Mutant, text: str | None) -> str | None:
    if text is None:
        return f"no such file: {mutant.file}"
    if (count := text.count(mutant.find)) != 1:
        return f"`find` occurs {count} times in {mutant.file}, not once"
    if mutant.file.endswith(".py"):
        try:
            ast.parse(text.replace(mutant.find, mutant.replace))
        except SyntaxError as error:
            return f"the mistake does not compile: {error}"
    return None


def _absent(test: str, text: Callable[[str], str | None], root: Path) -> str | None:
    """Say that a named test is not there; of an expression and of parameters only pytest knows."""
    if test.startswith("-k"):
        return None
    file, *names = test.partition("[")[0].split("::")
    if not names and (root / file).is_dir():
        return None
    source = text(file)
    if source is None:
        return f"no such test file: {file}"
    body = ast.parse(source).body
    for name in names:
        inside = [n for n in body if isinstance(n, DEFINITIONS) and n.name == name]
        if not inside:
            return f"no such test: {test}"
        body = inside[0].body
    return None


def copy_tree(root: Path, to: Path) -> Path:
    def ignore(folder: str, names: list[str]) -> set[str]:
        top = NOT_COPIED_FROM_TOP & set(names) if Path(folder) == root else set()
        return NOT_COPIED(folder, names) | top

    shutil.copytree(root, to, ignore=ignore, symlinks=True)
    return to


def runs_of(tests: Iterable[str]) -> list[list[str]]:
    """Turn a `tests` list into pytest's arguments: one run for all node ids, one per -k."""
    nodes, runs = [], []
    for test in dict.fromkeys(tests):
        if test.startswith("-k"):
            runs.append(["tests", "-k", test.removeprefix("-k").strip().strip("\"'")])
        else:
            nodes.append(test)
    return ([nodes] if nodes else []) + runs


def pytest(tree: Path, arguments: Sequence[str], timeout: float) -> tuple[int | None, str]:
    """Run pytest in a copy; None as the exit code is a timeout."""
    env = os.environ | {
        # The copy's package and tests, also in processes that tests start.
        "PYTHONPATH": str(tree),
        # A mistake of equal length within the second would leave stale bytecode behind.
        "PYTHONDONTWRITEBYTECODE": "1",
        # Under CI=true examples are always the same, and a survivor is tried again with others.
        "HYPOTHESIS_PROFILE": "default",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *arguments]
    process = subprocess.Popen(
        command,
        cwd=tree,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        # The whole group: a hanging test may have started processes of its own.
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        return None, output
    return process.returncode, output


def _tail(output: str, lines: int = 12) -> str:
    return "\n".join("    " + line for line in output.strip().splitlines()[-lines:])


def check_baseline(trees: Sequence[Path], mutants: Sequence[Mutant]) -> str | None:
    """Run every listed test without a mistake, on all copies; return what is wrong, or None."""
    wait = max(600.0, *(m.timeout for m in mutants))
    runs = runs_of(t for m in mutants for t in m.tests)
    nodes = sorted(runs.pop(0)) if runs and runs[0][1:2] != ["-k"] else []
    # Neighbours share the fixtures of their file, so each copy gets a run of them.
    size = -(-len(nodes) // len(trees)) or 1
    shares = [nodes[n : n + size] for n in range(0, len(nodes), size)]

    def problem(tree: Path, arguments: Sequence[str]) -> str | None:
        code, output = pytest(tree, arguments, wait)
        if code == PASSED:
            return None
        what = "timed out" if code is None else f"exit code {code}"
        shown = " ".join(arguments[:6]) + (" ..." if len(arguments) > 6 else "")
        return f"the listed tests do not pass without a mistake ({what}): {shown}\n{_tail(output)}"

    with ThreadPoolExecutor(len(trees)) as pool:
        found = [p for p in pool.map(problem, trees, shares) if p]
    found += [p for arguments in runs if (p := problem(trees[0], arguments))]
    return "\n".join(found) or None


def turn_of(root: Path) -> str:
    """Return what chooses the mistakes that a budget is spent on: the commit, else the day."""
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or time.strftime("%Y-%m-%d")


def shuffled(mutants: Sequence[Mutant], seed: str) -> list[Mutant]:
    """Return the mistakes in an order that a seed decides: the same one on every machine."""
    return sorted(mutants, key=lambda m: hashlib.sha256(f"{seed}/{m.id}".encode()).digest())


#: A property test draws other examples each time: so often a survivor is tried once more.
AGAIN = 2


def try_mutant(tree: Path, mutant: Mutant) -> Verdict:
    """Apply one mistake in the copy, run its tests, put the file back."""
    start = time.monotonic()

    def verdict(outcome: str, detail: str) -> Verdict:
        return Verdict(mutant, outcome, detail, time.monotonic() - start)

    path = tree / mutant.file
    original = path.read_text("utf-8") if path.is_file() else None
    if problem := _misfit(mutant, original):
        return verdict("BROKEN", problem)
    assert original is not None
    path.write_text(original.replace(mutant.find, mutant.replace), "utf-8")
    try:
        found = _judge(tree, mutant)
        for _ in range(AGAIN):
            if found[0] != "SURVIVED":
                break
            found = _judge(tree, mutant)
        return verdict(*found)
    finally:
        path.write_text(original, "utf-8")


def _judge(tree: Path, mutant: Mutant) -> tuple[str, str]:
    for arguments in runs_of(mutant.tests):
        code, output = pytest(tree, arguments, mutant.timeout)
        if code is None:
            return "caught", f"hung for {mutant.timeout:g} s"
        if code == FAILED:
            failed = [ln for ln in output.splitlines() if ln.startswith(("FAILED", "ERROR"))]
            return "caught", failed[0].split(" - ")[0] if failed else "a test failed"
        if code == NO_TESTS:
            return "BROKEN", f"no test matches {' '.join(arguments)}"
        if code != PASSED:
            return "BROKEN", f"pytest could not run (exit code {code})\n{_tail(output)}"
    return "SURVIVED", mutant.why or "no listed test noticed"


def run_all(
    root: Path, mutants: Sequence[Mutant], *, jobs: int, budget: float | None
) -> tuple[list[Verdict], list[Mutant]]:
    """Try the mistakes on `jobs` copies at once; return verdicts and what the budget left out."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="usr-mutants-") as folder:
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        trees = [copy_tree(root, Path(folder) / f"copy{n}") for n in range(jobs)]
        for tree in trees:
            copies.put(tree)
        if problem := check_baseline(trees, mutants):
            raise ListError(problem)
        print(f"mutants: baseline passes, {time.monotonic() - start:.0f} s", flush=True)
        printing = threading.Lock()

        def one(mutant: Mutant) -> Verdict | None:
            if budget is not None and time.monotonic() - start > budget:
                return None
            tree = copies.get()
            try:
                verdict = try_mutant(tree, mutant)
            finally:
                copies.put(tree)
            with printing:
                print(
                    f"{verdict.outcome:8} {mutant.id} [{mutant.rule}] {verdict.seconds:.1f} s: "
                    f"{verdict.detail}",
                    flush=True,
                )
            return verdict

        with ThreadPoolExecutor(jobs) as pool:
            results = list(pool.map(one, mutants))
    left_out = [m for m, r in zip(mutants, results, strict=True) if r is None]
    return [r for r in results if r is not None], left_out


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Apply seeded mistakes; each must be caught.")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="only this one")
    parser.add_argument("--jobs", type=int, default=1, help="copies to work in at once")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="start none after that")
    parser.add_argument("--seed", help="which ones a budget is spent on (default: the commit)")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument("--list", action="store_true", help="print the mistakes and stop")
    options = parser.parse_args(argv)
    try:
        mutants = read_lists(options.root)
        if unknown := set(options.only) - {m.id for m in mutants}:
            raise ListError(f"no mutant of that id: {', '.join(sorted(unknown))}")
        mutants = [m for m in mutants if not options.only or m.id in options.only]
        if not mutants:
            raise ListError("there is no mutant in tests/mutants/*.toml")
        if options.list:
            print(*(f"{m.id} [{m.rule}] {m.file}" for m in mutants), sep="\n")
            return 0
        if options.budget is not None:
            seed = options.seed or turn_of(options.root)
            mutants = shuffled(mutants, seed)
            print(f"mutants: as many of {len(mutants)} as fit, in the order of --seed {seed}")
        verdicts, left_out = run_all(
            options.root.resolve(), mutants, jobs=max(1, options.jobs), budget=options.budget
        )
    except ListError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return report(verdicts, left_out)


def report(verdicts: Sequence[Verdict], left_out: Sequence[Mutant]) -> int:
    """Print the summary and return the exit code."""
    bad = [v for v in verdicts if v.outcome != "caught"]
    if bad:
        print("\nNot caught:")
        for v in bad:
            print(f"  {v.outcome} {v.mutant.id} [{v.mutant.rule}] in {v.mutant.file}: {v.detail}")
    if left_out:
        names = ", ".join(m.id for m in left_out)
        print(f"\nmutants: the budget left out {len(left_out)} (make mutants runs all): {names}")
    print(f"{len(verdicts) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad or not verdicts else 0


if __name__ == "__main__":
    raise SystemExit(main())
