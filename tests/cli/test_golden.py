"""What a terminal shows, held in files: `GOLDEN=write pytest tests/cli` renews them; look at them.

The commands write to a real pseudo-terminal of that width; a few are compared once more with
processes of their own in test_process.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import MATERIAL
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
    "head-where": ["head", "demo", "-n", "2", "--where", "gc > 0.5", "--order-by", "gc desc"],
    "head-columns": ["head", "demo", "-n", "2", "--columns",
                     "id,sequence,alphabet,source,created_at,quickstart__X_value"],
    "head-file": ["head", "datasets/lab/other/records.parquet"],
    "tree": ["schema", "demo", "--tree"],
    "cols": ["cols", "demo"],
    "cell": ["cell", "demo", "--col", "quickstart__X_value"],
    "events": ["events", "tail", "demo", "-n", "3"],
    "doctor": ["doctor", "demo"],
    "why": ["why", "demo", "93664019", "quickstart__X_value"],
    "pick": ["pick", "demo", "--order-by", "gc desc, id", "--top", "2"],
    "state": ["state", "get", "demo", "--id", "93664019"],
    "namespace-show": ["namespace", "show", "densegen"],
    "import-report": ["import", "demo", "--path", "new.csv", "--dry-run"],
    "help-head": ["head", "--help"],
}  # fmt: skip
#: What goes wrong, in one file for each width.
WRONG = [
    ["hed"],
    ["head", "dmeo"],
    ["head", "demo", "--colums", "id"],
    ["head", "demo", "--columns", "lenght"],
    ["head", "demo", "--where", "gc > > 1"],
    ["head", "demo", "--format", "yaml"],
    ["info", "archived/lab/old"],
    ["info"],
    ["get", "demo", "--id", "0000000000"],
    ["grep", "demo", "--pattern", "TTNNRA"],
    ["init", "densegen/demo"],
    ["import", "demo", "--path", "nothing.csv"],
    ["import", "demo", "--path", "bad.csv"],
    ["import", "demo", "--path", str(MATERIAL / "demo_sequences.csv")],
    ["attach", "demo", "--path", "new.csv", "--namespace", "Evo2"],
    ["materialize", "demo", "--drop-overlays"],
    ["namespace", "register", "n2", "--columns", "x:float6"],
    ["remotes", "list"],
]


def steady(text: str, root: Path) -> str:
    """Replace what differs from run to run, without changing its width where that matters."""
    text = text.replace(str(root.resolve()), "ROOT").replace(str(root.parent.resolve()), "WORK")
    text = text.replace(str(MATERIAL), "demo_material")
    text = re.sub(
        r"20\d\d-\d\d-\d\dT[\d:]*(Z|…)",
        lambda m: "2026-01-02T03:04:05"[: len(m[0]) - 1] + m[1],
        text,
    )
    text = re.sub(r"(?<=part-)[0-9a-fTZ…-]+", lambda m: re.sub("[^…]", "0", m[0]), text)
    text = re.sub(r"\b\d+(?:\.\d)? (KiB|B)\b", r"N \1", text)
    return re.sub(r"registry( +)[0-9a-f]{64}", r"registry\1HASH", text)


class Screen:
    """A pseudo-terminal of some width, which standard output and standard error lead to."""

    def __init__(self, width: int, patch: pytest.MonkeyPatch) -> None:
        self.width, self.patch = width, patch

    def show(self, *commands: list[str]) -> str:
        """Return all that some command lines show on it."""
        near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 60, self.width, 0, 0))
        seen: list[bytes] = []

        def watch() -> None:
            with contextlib.suppress(OSError):
                while block := os.read(near, 65536):
                    seen.append(block)

        reader = threading.Thread(target=watch)
        reader.start()
        self.patch.delenv("COLUMNS", raising=False)
        with os.fdopen(far, "w", encoding="utf-8") as out, self.patch.context() as patch:
            # The width is asked of the process's own standard output.
            for name in ("stdout", "stderr", "__stdout__"):
                patch.setattr(sys, name, out)
            for argv in commands:
                if len(commands) > 1:
                    out.write(f"$ usr {' '.join(argv)}\n")
                code = main(argv)
                out.write(f"[{code}]\n\n" if len(commands) > 1 else "")
        reader.join(30)
        os.close(near)
        return b"".join(seen).decode("utf-8").replace("\r\n", "\n")


@pytest.fixture(params=[80, 160])
def screen(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setattr(say, "working", contextlib.nullcontext)
    # Lines break where they would if the root had a short name.
    own = say._fitted
    monkeypatch.setattr(say, "_fitted", lambda text, **more: own(steady(text, root), **more))
    (root.parent / "new.csv").write_text("sequence,name\nACGTTTTT,n1\nacgtttttT,n2\n")
    (root.parent / "bad.csv").write_text("sequence\nACGT\nACXT\n")
    monkeypatch.delenv("USR_REMOTES_PATH", raising=False)
    return Screen(request.param, monkeypatch)


def compare(text: str, name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8")


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_golden_terminal_output(name: str, root: Path, screen: Screen):
    text = steady(screen.show(SHOWN[name]), root)
    compare(text, f"{name}-{screen.width}")
    # Whole values are there to be copied.
    if name not in {"get", "info", "cell", "why"}:
        assert max(map(len, text.splitlines())) <= screen.width


def test_golden_mistakes(root: Path, screen: Screen):
    compare(steady(screen.show(*WRONG), root), f"mistakes-{screen.width}")


@pytest.mark.parametrize("name", ["ls", "head", "validate", "help", "doctor"])
def test_colours_are_those_of_any_terminal(name: str, root: Path, screen: Screen):
    """Bold and dim alone are used, so that light and dark terminals show the same."""
    screen.patch.delenv("NO_COLOR")
    screen.patch.setenv("TERM", "xterm-256color")
    painted = screen.show(SHOWN[name])
    assert set(re.findall(r"\x1b\[([\d;]*)m", painted)) <= {"0", "1", "2"}
    screen.patch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in screen.show(SHOWN[name])
