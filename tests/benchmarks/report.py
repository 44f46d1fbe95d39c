"""The table of a run, as text and as a page of the documentation."""

from __future__ import annotations

import itertools
import json
import os
import platform
from pathlib import Path
from typing import Any

from tests.benchmarks.goals import LS, OPS, Op, memory_goal, met

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
ALL = (*OPS, LS)
PEERS = ("DuckDB", "Polars")


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    from importlib.metadata import version

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = {p: version(p) for p in ("duckdb", "polars", "pyarrow", "numpy")}
    return {"cores": cores, "system": platform.system(), "python": platform.python_version(),
            "packages": packages}  # fmt: skip


def peak(result: dict[str, Any], tool: str = "usr_nb") -> float | None:
    """Return the most memory of any operation of a tool, in MiB."""
    found = [row["cold"][tool]["peak_mib"] for row in result["ops"].values()
             if tool in row.get("cold", {})]  # fmt: skip
    return max(found, default=None)


def missed(result: dict[str, Any]) -> list[str]:
    """Return what falls short, one line each."""
    out = []
    for op in ALL:
        row = result["ops"].get(op.name)
        if row is None:
            continue
        out += [f"{op.title}: results differ: {d}" for d in row["differs"]]
        if not met(op, row, result["rows"]):
            out.append(f"{op.title}: {_measured(op, row)}, the goal is {_goal(op)}")
    most = peak(result)
    if most is not None and most > memory_goal(result["rows"]):
        out.append(f"peak memory: {most:.0f} MiB, the goal is {memory_goal(result['rows'])} MiB")
    return out


def _measured(op: Op, row: dict[str, Any]) -> str:
    return f"{row['usr_nb']:.3f} s" if op.ratio is None else f"{row['ratio']:.2f}"


def _goal(op: Op) -> str:
    return f"≤ {op.seconds} s" if op.ratio is None else f"≤ {op.ratio}"


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"


def lines(result: dict[str, Any]) -> list[list[str]]:
    """Return the cells of the table, header first."""
    out = [["operation", "usr_nb", *PEERS, "ratio", "goal", "", "cold: usr_nb", *PEERS,
            "peak MiB: usr_nb", *PEERS]]  # fmt: skip
    for op in ALL:
        row = result["ops"].get(op.name)
        if row is None:
            continue
        cold = row.get("cold", {})
        good = met(op, row, result["rows"]) and not row["differs"]
        peers = [row.get(p, row.get("import pyarrow.parquet") if op is LS else None) for p in PEERS]
        dead = [p in row.get("died", []) for p in PEERS]
        out.append([
            op.title, _seconds(row["usr_nb"]),
            *("died" if d else _seconds(p) for p, d in zip(peers, dead, strict=True)),
            f"{row['ratio']:.2f}" if "ratio" in row else "–", _goal(op), "met" if good else "MISS",
            *(_seconds(cold.get(t, {}).get("seconds")) for t in ("usr_nb", *PEERS)),
            *(f"{cold[t]['peak_mib']:.0f}" if t in cold else "–" for t in ("usr_nb", *PEERS)),
        ])  # fmt: skip
    most = peak(result)
    if most is not None:
        goal = memory_goal(result["rows"])
        peers = [f"{peak(result, p) or 0:.0f}" for p in PEERS]
        out.append(["peak memory, MiB", f"{most:.0f}", *peers, "–", f"≤ {goal}",
                    "met" if most <= goal else "MISS", *["–"] * 6])  # fmt: skip
    return out


def table(result: dict[str, Any]) -> str:
    """Return the table for a terminal."""
    cells = lines(result)
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    text = [f"{result['rows']:,} rows, seconds, best of several in turn"]
    for row in cells:
        padded = [c.ljust(w) if i == 0 else c.rjust(w)
                  for i, (c, w) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        text.append("  ".join(padded))
    return "\n".join(text)


def _markdown(result: dict[str, Any]) -> str:
    head, *body = lines(result)
    m = result["machine"]
    packages = ", ".join(f"{k} {v}" for k, v in m["packages"].items())
    text = [f"### {result['rows']:,} rows", "",
            f"{m['cores']} cores, {m['system']}, Python {m['python']}, {packages}.", "",
            "| " + " | ".join(head) + " |", "|---" * len(head) + "|"]  # fmt: skip
    text += ["| " + " | ".join(row) + " |" for row in body]
    return "\n".join(text)


def _growth(results: list[dict[str, Any]]) -> str:
    """Return how times grow with the rows: each size over the one before it."""
    pairs = list(itertools.pairwise(results))
    if not pairs:
        return ""
    head = [f"{a['rows']:,} → {b['rows']:,}" for a, b in pairs]
    text = ["### Growth", "", "Our time at the larger size over that at the smaller.", "",
            "| operation | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]  # fmt: skip
    for op in ALL:
        cells = []
        for a, b in pairs:
            both = (a["ops"].get(op.name), b["ops"].get(op.name))
            cells.append(f"{both[1]['usr_nb'] / both[0]['usr_nb']:.1f}" if all(both) else "–")
        text.append(f"| {op.title} | " + " | ".join(cells) + " |")
    return "\n".join(text)


def update_page(page: Path, results: Path) -> None:
    """Write the tables of all sizes into the page, between its marks."""
    found = [json.loads(p.read_text()) for p in results.glob("*.json")]
    found.sort(key=lambda r: r["rows"])
    body = "\n\n".join([*map(_markdown, found), _growth(found)]).strip()
    text = page.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{body}\n\n{END}{after}")
