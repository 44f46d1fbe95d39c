"""The command line is a shim: short bodies, one table, quick to start, no surprises on macOS."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests.cli.conftest import ROOT, run
from tests.cli.test_every_command import leaves
from usr_nb.cli import commands, lazy, sysctl
from usr_nb.cli.main import app

MOST_BODY_LINES = 15
CLI = ROOT / "usr_nb" / "cli"


def is_command(node: ast.FunctionDef) -> bool:
    return any(
        isinstance(d, ast.Call) and isinstance(d.func, ast.Attribute) and d.func.attr == "command"
        for d in node.decorator_list
    )


def bodies() -> dict[str, int]:
    """Return the number of lines of every command's body, its docstring left out."""
    found = {}
    for path in sorted(CLI.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and is_command(node):
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                last = body[-1].end_lineno or 0
                found[f"{path.name}:{node.name}"] = last - body[0].lineno + 1
    return found


def test_CLI_6_a_command_is_at_most_15_lines():
    found = bodies()
    assert len(found) == len(leaves()) + len(HIDDEN_LEAVES())
    assert {k: n for k, n in found.items() if n > MOST_BODY_LINES} == {}


def HIDDEN_LEAVES() -> list[str]:
    before = os.environ.get("USR_SHOW_DEV_COMMANDS")
    os.environ["USR_SHOW_DEV_COMMANDS"] = "1"
    try:
        return [n for n in leaves() if n.split()[0] in {e.name for e in commands.TABLE if e.hidden}]
    finally:
        if before is None:
            del os.environ["USR_SHOW_DEV_COMMANDS"]


def test_the_table_says_what_the_commands_say():
    group = typer.main.get_command(app)
    ctx = typer.Context(group)
    for entry in commands.TABLE:
        command = group.get_command(ctx, entry.name)
        assert command.name == entry.name
        assert command.get_short_help_str(200) == entry.help
        assert len(entry.help) <= 45, "longer ones are cut in docs/cli.md"


def test_every_command_says_on_one_line_what_it_does(monkeypatch: pytest.MonkeyPatch):
    """A longer line is cut in the list of its group and in docs/cli.md."""
    monkeypatch.setenv("USR_SHOW_DEV_COMMANDS", "1")
    for name in leaves():
        command = typer.main.get_command(app)
        for word in name.split():
            command = command.get_command(typer.Context(command), word)
        assert 0 < len(command.get_short_help_str(300)) <= 45, name


def test_every_option_and_argument_has_help():
    def walk(command, path):
        for param in command.params:
            text = getattr(param, "help", None)
            assert text, f"{path}: {param.name} has no help"
        assert command.help, f"{path} has no help"
        for name, child in getattr(command, "commands", {}).items():
            walk(child, f"{path} {name}")

    group = typer.main.get_command(app)
    for entry in commands.TABLE:
        walk(group.get_command(typer.Context(group), entry.name), f"usr {entry.name}")


def test_help_fits_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for words in [[], *(name.split() for name in leaves())]:
        result = run(*words, "--help")
        assert result.code == 0
        assert max(map(len, result.out.splitlines())) <= 80


def test_only_one_place_loads_by_name():
    for path in CLI.glob("*.py"):
        text = path.read_text("utf-8")
        assert path.name == "lazy.py" or "pkgutil" not in text
        assert "import_module" not in text
    for entry in commands.TABLE:
        module = importlib.import_module(f"{lazy.PACKAGE}.{entry.module}")
        assert entry.name in module.COMMANDS


def loaded(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('\\nMODULES', *sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stderr.split("MODULES")[1].split()}


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["lss"]])
def test_CLI_help_loads_nothing_heavy(argv: list[str]):
    found = loaded(f"from usr_nb.cli.main import main; main({argv!r})")
    assert not {"pyarrow", "numpy", "pandas", "rich", "pydantic", "marimo"} & found


def test_CLI_ls_loads_no_pandas_and_no_pydantic(root: Path):
    found = loaded(f"from usr_nb.cli.main import main; main(['ls', '--root', {str(root)!r}])")
    assert not {"pandas", "rich", "pydantic", "duckdb", "marimo"} & found


# macOS ------------------------------------------------------------------------------------------

WARNING = (
    b"/x/cpu_info.cc:242: IOError: sysctlbyname failed for 'hw.l1dcachesize'. Detail: errno 1\n"
)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, True),
        ({"USR_SHOW_PYARROW_SYSCTL": "1"}, False),
        ({"USR_SHOW_PYARROW_SYSCTL": "0"}, True),
        ({"USR_SUPPRESS_PYARROW_SYSCTL": "0"}, False),
        ({"USR_SUPPRESS_PYARROW_SYSCTL": "1"}, True),
        ({"USR_SUPPRESS_PYARROW_SYSCTL": "1", "USR_SHOW_PYARROW_SYSCTL": "1"}, True),
        ({"USR_SUPPRESS_PYARROW_SYSCTL": "0", "USR_SHOW_PYARROW_SYSCTL": "0"}, False),
        ({"USR_SUPPRESS_PYARROW_SYSCTL": "", "USR_SHOW_PYARROW_SYSCTL": "1"}, False),
    ],
)
def test_CLI_4_switches(environ: dict[str, str], expected: bool):
    assert sysctl.wanted(environ, "darwin") is expected
    assert sysctl.wanted(environ, "linux") is False


def test_CLI_4_only_the_warning_goes():
    assert sysctl.keep(b"a\n" + WARNING + b"b") == b"a\nb"
    assert sysctl.keep(b"") == b""


def test_CLI_4_the_filter_works_on_the_file_descriptor():
    code = (
        "import os, sys\nfrom usr_nb.cli import sysctl\n"
        "with sysctl.filtered():\n"
        f"    os.write(2, b'first\\n' + {WARNING!r} + b'second\\n')\n"
        "    print('third', file=sys.stderr)\n"
        "os.write(2, b'after\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == "first\nsecond\nthird\nafter\n"


def test_modules_are_documented():
    for path in CLI.glob("*_cmd*.py"):
        module = importlib.import_module(f"{lazy.PACKAGE}.{path.stem}")
        assert inspect.getdoc(module)
