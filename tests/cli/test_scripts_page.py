"""docs/scripts.md says what commands print and which variables they heed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, run
from usr_nb import errors
from usr_nb.cli.sync_views import EXIT_CODES

PAGE = (ROOT / "docs" / "scripts.md").read_text("utf-8")
#: A public name of the library, not a variable.
OTHERS = {"USR_EVENT_VERSION"}


def rows(head: str) -> dict[str, str]:
    """Return the table that begins with a line: first cell -> second."""
    body = PAGE.split(head)[1].split("\n\n")[0]
    found = re.findall(r"^\| (.+?) \| (.*?) \|$", body, re.MULTILINE)
    return dict(found)


def test_every_variable_is_told_of():
    named = set(re.findall(r"`(USR_[A-Z0-9_]+)", PAGE))
    used: set[str] = set()
    for path in (ROOT / "usr_nb").rglob("*.py"):
        used |= set(re.findall(r"[\"'](USR_[A-Z0-9_]+)[\"']", path.read_text("utf-8")))
    assert used - OTHERS == named


def test_CLI_1_every_exit_code_is_told_of():
    told = {int(n) for cell in rows("| exit code | |\n|---|---|") for n in re.findall(r"\d+", cell)}
    codes = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SequencesError)
    }
    assert told == codes | {0, *EXIT_CODES.values()}


@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("`ls`", ["ls"]),
        ("`info`", ["info", "demo"]),
        ("`schema`", ["schema", "demo"]),
        ("`cols`", ["cols", "demo"]),
        ("`cell`", ["cell", "demo", "--col", "id"]),
        ("`describe`", ["describe", "demo"]),
        ("`pick`", ["pick", "demo", "--top", "1"]),
        ("`why`", ["why", "demo", "93664019", "length"]),
        ("`state get`", ["state", "get", "demo", "--id", "93664019"]),
        ("`validate`", ["validate", "demo"]),
        ("`namespace list`", ["namespace", "list"]),
        ("`filters list`", ["filters", "list", "demo"]),
    ],
)
def test_GET_1_data_has_the_keys_that_the_page_tells(root: Path, name: str, argv: list[str]):
    assert run("filters", "save", "demo", "--name", "x", "--where", "gc > 0").code == 0
    told = rows("| command | `data` |\n|---|---|")[name]
    keys = [k for span in re.findall(r"`([^`]+)`", told) for k in span.split(", ")]
    data = run(*argv, "--format", "json").data
    one = data[0] if isinstance(data, list) else data
    if name == "`schema`":
        one = {**one, **one["fields"][0]}
    closed = "..." not in keys and name != "`pick`"
    assert set(keys) - {"..."} <= set(one)
    assert not closed or set(one) == set(keys)
