"""Write docs/rules.md: which tests prove which rule of docs/contract.md.

    python scripts/rules.py           write it
    python scripts/rules.py --check   fail if it is stale, or a rule has no test

A test proves a rule by its name: ``test_OVL_6_...`` (or a class ``TestOVL_6...``); ``test_VAL_...``
without a number is VAL-1.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RULE = re.compile(r"^- \*\*([A-Z]{3}-\d+)\*\* (.*)$", re.MULTILINE)
TEST = re.compile(
    r"^\s*(?:async )?(?:def |class )(?:test_|Test)([A-Z]{3})_?(\d+)?\w*", re.MULTILINE
)


def rules() -> dict[str, str]:
    """Return tag → text, in the order of the contract."""
    return dict(RULE.findall((ROOT / "docs/contract.md").read_text()))


def tests() -> dict[str, dict[str, int]]:
    """Return tag → test file → number of tests."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for m in TEST.finditer(path.read_text()):
            tag = f"{m.group(1)}-{m.group(2) or 1}"
            found[tag][path.relative_to(ROOT).as_posix()] += 1
    return found


def page() -> tuple[str, list[str]]:
    """Return the page, and the rules that no test proves."""
    proven = tests()
    lines = [
        "# Rules and their tests",
        "",
        "Made by `python scripts/rules.py`; the number of tests per file is in parentheses.",
        "",
        "| rule | what it says | tests |",
        "|---|---|---|",
    ]
    missing = []
    for tag, text in rules().items():
        files = proven.get(tag, {})
        if not files:
            missing.append(tag)
        listed = ", ".join(f"`{f.removeprefix('tests/')}` ({n})" for f, n in files.items())
        lines.append(f"| {tag} | {text.replace('|', chr(92) + '|')} | {listed or '–'} |")
    return "\n".join(lines) + "\n", missing


def main() -> int:
    """Write or check the page."""
    text, missing = page()
    target = ROOT / "docs/rules.md"
    if "--check" not in sys.argv:
        target.write_text(text)
        print(f"docs/rules.md: {len(rules())} rules, without a test: {missing or 'none'}")
        return 0
    stale = not target.exists() or target.read_text() != text
    if stale:
        print("docs/rules.md is stale: run python scripts/rules.py", file=sys.stderr)
    if missing:
        print(f"rules without a test: {', '.join(missing)}", file=sys.stderr)
    return 1 if stale or missing else 0


if __name__ == "__main__":
    sys.exit(main())
