"""``make bench ROWS=...``: our operations beside DuckDB and Polars, in one run, on the same files.

Each tool has a process of its own. For each operation the tools take turns; the best of three
counts. Then each operation runs once more in a new process without caches: that is the cold time,
imports included, and the peak memory. Results are compared cell by cell. Exit code 1 if a goal is
missed or results differ.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import data, report
from tests.benchmarks.answers import differences
from tests.benchmarks.goals import LS, OPS, OURS_ALONE, Op

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results")
TOOLS = ("usr_nb", "DuckDB", "Polars")
PEERS = TOOLS[1:]


class Bench:
    """The processes of a run, and what they said."""

    def __init__(self, inputs: data.Inputs, work: Path) -> None:
        self.inputs = inputs
        self.work = work
        self.env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "USR_CACHE_DIR": str(work / "cache")}
        self.processes = {name: self._start(name) for name in TOOLS}

    def _command(self, name: str, *more: str) -> list[str]:
        return [sys.executable, "-m", "tests.benchmarks.worker", name, str(self.inputs.rows),
                str(self.inputs.folder), str(self.work), *more]  # fmt: skip

    def _start(self, name: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self._command(name), env=self.env, cwd=CHECKOUT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def ask(self, name: str, op: Op, rep: int, *, answer: bool) -> dict[str, Any]:
        """Let one tool run one operation."""
        process = self.processes[name]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"op": op.name, "rep": rep, "answer": answer}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if line:
            return json.loads(line)
        # Ours may not die. Of a peer the table says so, and it begins anew with the next operation.
        if name == "usr_nb":
            raise SystemExit(f"{name} died in {op.name}")
        process.wait()
        self.processes[name] = self._start(name)
        return {"seconds": None, "answer": None}

    def cold(self, name: str, op: Op) -> dict[str, Any]:
        """Run one operation in a new process without caches."""
        cache = self.work / "cold-cache"
        shutil.rmtree(cache, ignore_errors=True)
        done = subprocess.run(
            self._command(name, "--once", op.name), cwd=CHECKOUT, text=True,
            check=name == "usr_nb",
            env={**self.env, "USR_CACHE_DIR": str(cache)}, stdout=subprocess.PIPE,
        )  # fmt: skip
        return json.loads(done.stdout) if done.returncode == 0 else {}

    def close(self) -> None:
        """End the processes."""
        for process in self.processes.values():
            if process.stdin is not None:
                process.stdin.close()
            process.wait()

    def measure(self, op: Op, repeats: int, *, cold: bool) -> dict[str, Any]:
        """Return one row of the table."""
        tools = ["usr_nb"] if op.name in OURS_ALONE else list(TOOLS)
        best: dict[str, float] = {}
        answers: dict[str, Any] = {}
        dead: list[str] = []
        for rep in range(repeats):
            # Nobody is always first.
            for name in tools[rep % len(tools) :] + tools[: rep % len(tools)]:
                told = None if name in dead else self.ask(name, op, rep, answer=rep == 0)
                if told is None or told["seconds"] is None:
                    dead += [] if name in dead else [name]
                    continue
                best[name] = min(best.get(name, float("inf")), told["seconds"])
                answers.setdefault(name, told["answer"])
        tools = [name for name in tools if name not in dead]
        row: dict[str, Any] = {name: best[name] for name in tools}
        row["died"] = dead
        row["differs"] = [f"{name}: {d}" for name in tools[1:]
                          for d in differences(answers["usr_nb"], answers[name])]  # fmt: skip
        if len(tools) > 1:
            row["ratio"] = best["usr_nb"] / min(best[p] for p in tools[1:])
        if cold:
            found = {name: self.cold(name, op) for name in tools}
            row["died"] += [name for name, told in found.items() if not told]
            row["cold"] = {name: told for name, told in found.items() if told}
        return row


def measure_ls(root: Path, env: dict[str, str]) -> dict[str, Any]:
    """Return the time of ``usr ls`` and of importing pyarrow.parquet, each a whole process."""
    commands = {
        "usr_nb": ["-m", "usr_nb.cli.main", "ls", "--root", str(root)],
        "import pyarrow.parquet": ["-c", "import pyarrow.parquet"],
    }
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(7):
        for name, argv in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *argv], env=env, cwd=CHECKOUT, check=True,
                           stdout=subprocess.DEVNULL)  # fmt: skip
            best[name] = min(best[name], time.perf_counter() - started)
    return {**best, "ratio": best["usr_nb"] / best["import pyarrow.parquet"], "differs": []}


def run(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Prepare the files, measure, and return everything."""
    rows = args.rows
    print(f"making inputs of {rows:,} rows", file=sys.stderr, flush=True)
    inputs = data.make((Path(args.data) if args.data else work / "inputs") / str(rows), rows)
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    print("making a dataset of them", file=sys.stderr, flush=True)
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.prepare", str(rows), str(inputs.folder),
         str(work)], env=env, cwd=CHECKOUT, check=True,
    )  # fmt: skip
    chosen = [op for op in OPS if not args.only or op.name in args.only]
    result: dict[str, Any] = {"rows": rows, "machine": report.machine(), "ops": {}}
    bench = Bench(inputs, work)
    try:
        for op in chosen:
            row = bench.measure(op, args.repeat, cold=not args.no_cold)
            result["ops"][op.name] = row
            told = ", ".join(f"{t} {row[t]:.3f}" for t in TOOLS if t in row)
            ratio = f", ratio {row['ratio']:.2f}" if "ratio" in row else ""
            print(f"  {op.title}: {told}{ratio}", file=sys.stderr, flush=True)
    finally:
        bench.close()
    if not args.only or "ls" in args.only:
        result["ops"]["ls"] = measure_ls(work / "roots" / "full", env)
    return result


def main() -> int:
    """Read the command line, measure, print, write."""
    names = [op.name for op in (*OPS, LS)]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", type=lambda t: t.split(","), default=[],
                        help=f"of {', '.join(names)}")  # fmt: skip
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-cold", action="store_true", help="leave new processes out")
    parser.add_argument("--data", help="folder in which inputs are kept for the next run")
    parser.add_argument("--work", help="folder for everything else; by default a temporary one")
    args = parser.parse_args()
    unknown = set(args.only) - set(names)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(names)}")
    work = Path(args.work) if args.work else Path(tempfile.mkdtemp(prefix="usr-bench-"))
    try:
        result = run(args, work)
    finally:
        if not args.work:
            shutil.rmtree(work, ignore_errors=True)
    print(report.table(result))
    if not args.only:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{args.rows}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        report.update_page(CHECKOUT / "docs" / "performance.md", RESULTS)
        print(f"\nwrote {path.relative_to(CHECKOUT)} and docs/performance.md", file=sys.stderr)
    bad = report.missed(result)
    for line in bad:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
