#!/usr/bin/env python3
"""Writes docs/cli.md from `usr --help` of every command, and checks the links between pages.

With `--check` nothing is written: a stale page or a dead link is an error.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLI_PAGE = ROOT / "docs/cli.md"
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def cli_reference() -> str:
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "cli.md"
        command = [sys.executable, "-m", "typer", "usr_nb.cli.main", "utils", "docs"]
        command += ["--name", "usr", "--title", "The usr command", "--output", str(page)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return page.read_text("utf-8")


def anchors(text: str) -> set[str]:
    """Return the anchors that headings get, by the rule of the usual forges."""
    titles = re.findall(r"^#+\s+(.*?)\s*$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


def dead_links() -> list[str]:
    found = []
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            goal = (page.parent / path).resolve() if path else page
            if not goal.exists():
                found.append(f"{page.relative_to(ROOT)}: {target} does not exist")
            elif anchor and goal.suffix == ".md" and anchor not in anchors(goal.read_text("utf-8")):
                found.append(f"{page.relative_to(ROOT)}: {target} has no such heading")
    return found


def main() -> int:
    check = "--check" in sys.argv[1:]
    text = cli_reference()
    stale = not CLI_PAGE.is_file() or CLI_PAGE.read_text("utf-8") != text
    if stale and not check:
        CLI_PAGE.write_text(text, "utf-8")
        print(f"docs: wrote {CLI_PAGE.relative_to(ROOT)}")
    elif stale:
        print("ERROR: docs/cli.md is stale; run `make docs`.", file=sys.stderr)
    dead = dead_links()
    for line in dead:
        print(f"ERROR: {line}", file=sys.stderr)
    return 1 if dead or (stale and check) else 0


if __name__ == "__main__":
    raise SystemExit(main())
