"""``usr``: the top of the command line, and the one place where errors become text and codes."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from usr_nb._version import __version__
from usr_nb.cli import lazy, say
from usr_nb.cli.commands import ClosedPipe, LazyGroup
from usr_nb.cli.quick import HELP, quicken
from usr_nb.errors import SequencesError, did_you_mean

EPILOG = """Exit codes: 0 done; 1 dataset not found; 2 usage or any error; 3 exists already;
4 path or record not found; 130 aborted.

Completion in this shell: usr --install-completion"""

app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": HELP},
    epilog=EPILOG,
    help="Sequences of DNA, RNA and protein in plain files, with overlays and a log of events.",
)


def _version(value: bool) -> None:
    if value:
        say.result(f"usr {__version__}")
        raise typer.Exit


@app.callback()
def usr(
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", help="The root; also allowed after the command.", show_default=False
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Parse what stands before the command; the commands read it from the context."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises, never prints a traceback.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``usr``; those of the process by default.

    Examples
    --------
    >>> main(["--version"]) == 0
    usr ...
    True
    """
    if argv is None:
        lazy.own_process()
    with say.warnings_as_notes():
        try:
            code = _run(argv)
            sys.stdout.flush()
        except (BrokenPipeError, ClosedPipe):
            _forget_stdout()
            return 0
        except SystemExit as done:
            return done.code if isinstance(done.code, int) else 0
        return code


def _run(argv: Sequence[str] | None) -> int:
    try:
        command = quicken(typer.main.get_command(app))
        code = command.main(args=argv, prog_name="usr", standalone_mode=False)
    except SequencesError as error:
        return say.failure(error)
    except typer.TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        say.error("Aborted")
        return 130
    except (BrokenPipeError, ClosedPipe):
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say.error(f"{where}{error.strerror or error}", "Check the disk and the permissions.")
        return 2
    except Exception as error:
        if os.environ.get("USR_DEBUG") == "1":
            raise
        say.error(
            f"Unexpected {type(error).__name__}: {str(error)[:500]}",
            "This is a defect of usr. USR_DEBUG=1 shows where; please report it.",
        )
        return 2
    if code == 130:
        say.error("Aborted")
    return code if isinstance(code, int) else 0


def _usage(error: typer.TyperException) -> int:
    """Print an error of the words themselves in the form of all others."""
    ctx: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        say.note(error.format_message())
        return error.exit_code
    message, _, guess = error.format_message().partition(" Did you mean ")
    possible = getattr(error, "possibilities", None)
    if possible:
        close = sorted(c for c in possible if c != "--help")
        message, guess = error.message, f"{' or '.join(close)}?" if close else ""
    choice = re.search(r"'([^']*)' is not one of (.+?)\.?$", " ".join(message.split()))
    if choice and not guess:
        meant = did_you_mean(choice[1], re.findall(r"'([^']+)'", choice[2]))
        guess = meant.removeprefix("Did you mean ") if meant else ""
    see = f"See `{ctx.command_path} --help`." if ctx is not None else "See `usr --help`."
    see = f"{_placed(ctx, message)}{see}"
    text = " ".join(message.split()).replace("Value error, ", "").rstrip(".")
    say.error(text, f"Did you mean {guess} {see}" if guess else see)
    return error.exit_code


_NAMED_BY: Final = {
    "ids": "Records are named with --id.",
    "path": "The file is named with --path.",
    "pattern": "The pattern is given with --pattern.",
    "n": "How many is said with -n.",
}


def _placed(ctx: Any, message: str) -> str:
    """Return what to say of words that stand in a wrong place."""
    if ctx is None:
        return ""
    if "unexpected extra argument" in message:
        params = {p.name for p in ctx.command.params}
        return next((f"{hint} " for name, hint in _NAMED_BY.items() if name in params), "")
    if message.startswith("No such option") and ctx.parent is None:
        return "Options other than --root stand behind the command. "
    return ""


def _forget_stdout() -> None:
    """Let the interpreter flush into nothing when whoever read our output has gone."""
    with contextlib.suppress(OSError, ValueError):
        _, nowhere = os.pipe()
        os.dup2(nowhere, sys.stdout.fileno())


if __name__ == "__main__":
    raise SystemExit(main())
