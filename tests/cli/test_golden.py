"""What a terminal shows, held in files: `GOLDEN=write pytest tests/cli` renews them; look at them.

The same text on a real pseudo-terminal is compared in test_process.py.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal
from usr_nb.cli import say
from usr_nb.cli.main import main

GOLDEN = Path(__file__).with_name("golden")
SHOWN = {
    "ls": ["ls"],
    "info": ["info", "demo"],
    "head": ["head", "demo", "-n", "3"],
    "describe": ["describe", "demo"],
    "schema": ["schema", "demo"],
    "get": ["get", "demo", "--id", "93664019"],
    "grep": ["grep", "demo", "--pattern", "TTGACA", "--limit", "3"],
    "validate": ["validate", "demo"],
    "namespace": ["namespace", "list"],
    "help": ["--help"],
}


def steady(text: str, root: Path) -> str:
    """Replace what differs from run to run, without changing its width where that matters."""
    text = text.replace(str(root.resolve()), "ROOT")
    text = re.sub(
        r"20\d\d-\d\d-\d\dT[\d:]*(Z|…)",
        lambda m: "2026-01-02T03:04:05"[: len(m[0]) - 1] + m[1],
        text,
    )
    text = re.sub(r"\b\d+(?:\.\d)? (KiB|B)\b", r"N \1", text)
    return re.sub(r"registry( +)[0-9a-f]{64}", r"registry\1HASH", text)


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", sorted(SHOWN))
def test_golden_terminal_output(name: str, width: int, root: Path, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(say, "working", contextlib.nullcontext)
    screen = Terminal()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        assert main(SHOWN[name]) == 0
    text = steady(screen.getvalue(), root)
    path = GOLDEN / f"{name}-{width}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")
    if name not in {"get", "info"}:
        assert max(map(len, text.splitlines())) <= width
