"""All commands: name, where it is, one line of help. ``usr --help`` is drawn from this table."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

from usr_nb.cli import lazy
from usr_nb.errors import SequencesError, did_you_mean


@dataclass(frozen=True)
class Entry:
    """One command of the top level: its name, section of the help, module and line of help."""

    name: str
    section: str
    module: str
    help: str
    hidden: bool = False


LOOK: Final = "Look"
BUILD: Final = "Build"
CURATE: Final = "Curate"
SYNC: Final = "Sync"
SERVE: Final = "Explore"

TABLE: Final[tuple[Entry, ...]] = (
    Entry("ls", LOOK, "ls_cmd", "List the datasets of the root."),
    Entry("info", LOOK, "inspect_cmds", "Show rows, columns and overlays of a dataset."),
    Entry("schema", LOOK, "inspect_cmds", "Show the columns and their types."),
    Entry("describe", LOOK, "inspect_cmds", "Summarize columns: nulls, range, example."),
    Entry("head", LOOK, "records_cmds", "Show the first rows of a dataset or file."),
    Entry("get", LOOK, "records_cmds", "Show records by id, or by a unique prefix."),
    Entry("grep", LOOK, "records_cmds", "Find sequences by pattern or IUPAC motif."),
    Entry("pick", LOOK, "pick_cmd", "Pick records: filtered, sorted, far apart."),
    Entry("why", LOOK, "why_cmd", "Say where the value of one cell comes from."),
    Entry("cols", LOOK, "records_cmds", "List the columns of a dataset or file."),
    Entry("cell", LOOK, "records_cmds", "Print one cell of a dataset or file."),
    Entry("validate", LOOK, "inspect_cmds", "Check a dataset against every rule."),
    Entry("doctor", LOOK, "doctor_cmds", "Find and mend what crashes left behind."),
    Entry("events", LOOK, "events_cmds", "Follow what happened to a dataset."),
    Entry("init", BUILD, "write_cmds", "Create an empty dataset."),
    Entry("import", BUILD, "write_cmds", "Add sequences from a file."),
    Entry("attach", BUILD, "write_cmds", "Attach columns of a file as an overlay."),
    Entry("materialize", BUILD, "write_cmds", "Write overlay values into the base table."),
    Entry("export", BUILD, "write_cmds", "Write records to a file of another format."),
    Entry("snapshot", BUILD, "write_cmds", "Keep a copy of the base table."),
    Entry("namespace", BUILD, "namespace_cmds", "Register overlay namespaces and show them."),
    Entry("columns", BUILD, "columns_cmds", "Say units, labels and formats of columns."),
    Entry("root", BUILD, "root_cmds", "Make a folder a root."),
    Entry("delete", CURATE, "state_cmds", "Hide records; nothing is erased."),
    Entry("restore", CURATE, "state_cmds", "Bring deleted records back."),
    Entry("state", CURATE, "state_cmds", "Set, clear and show the state of records."),
    Entry("filters", CURATE, "filters_cmds", "Keep filters by name."),
    Entry("maintenance", CURATE, "maintenance_cmds", "Deduplicate, merge, compact, freeze."),
    Entry("densegen", CURATE, "tools_cmds", "Mend datasets of DenseGen."),
    Entry("legacy", CURATE, "tools_cmds", "Bring old files into a dataset."),
    Entry("dev", CURATE, "tools_cmds", "Made-up data, for developers.", hidden=True),
    Entry("diff", SYNC, "sync_cmds", "Compare a dataset or file with a remote's."),
    Entry("status", SYNC, "sync_cmds", "Another name for diff."),
    Entry("pull", SYNC, "sync_cmds", "Bring a remote's work here."),
    Entry("push", SYNC, "sync_cmds", "Take this side's work to a remote."),
    Entry("remotes", SYNC, "remotes_cmds", "Name and check the machines to sync with."),
    Entry("demo", SERVE, "demo_cmds", "Build the demo root and explore it."),
    Entry("open", SERVE, "demo_cmds", "Explore one's own datasets in the browser."),
)
_BY_NAME: Final = {e.name: e for e in TABLE}


#: Words from elsewhere, and the command that does that here.
SYNONYMS: Final[dict[str, str]] = {
    **dict.fromkeys(("list", "datasets"), "ls"),
    **dict.fromkeys(("select", "query", "filter", "show", "cat", "view", "preview"), "head"),
    **dict.fromkeys(("rm", "remove", "drop", "hide"), "delete"),
    **dict.fromkeys(("undelete", "unhide"), "restore"),
    **dict.fromkeys(("add", "load", "insert", "append"), "import"),
    **dict.fromkeys(("create", "new"), "init"),
    **dict.fromkeys(("search", "find"), "grep"),
    **dict.fromkeys(("stats", "summary", "summarize"), "describe"),
    **dict.fromkeys(("count", "rows"), "info"),
    **dict.fromkeys(("check", "verify"), "validate"),
    **dict.fromkeys(("sort", "top", "sample"), "pick"),
    **dict.fromkeys(("blame", "provenance"), "why"),
    **dict.fromkeys(("serve", "explore", "ui", "gui"), "open"),
    **dict.fromkeys(("tail", "log", "history"), "events tail"),
    **dict.fromkeys(("set", "mask"), "state set"),
    **dict.fromkeys(("sync", "fetch", "clone"), "pull"),
    **dict.fromkeys(("upload", "send"), "push"),
    **dict.fromkeys(("compact", "overlay-compact"), "maintenance overlay-compact"),
    **dict.fromkeys(("freeze", "registry-freeze"), "maintenance registry-freeze"),
    "overlay-remove": "maintenance overlay-remove", "dedupe": "maintenance dedupe",
    "merge": "maintenance merge", "register": "namespace register",
    "repair": "doctor --repair", "convert": "legacy convert",
    "help": "--help", "version": "--version",
}  # fmt: skip


def meant(words: Sequence[str], names: Sequence[str]) -> str:
    """Return a hint for words that begin with no command.

    Examples
    --------
    >>> meant(["rm", "demo"], ["delete", "head"]), meant(["demo", "head"], ["delete", "head"])
    ("Did you mean 'usr delete'?", 'The command comes first: usr head demo.')
    """
    synonym = SYNONYMS.get(words[0].lower())
    if synonym is not None:
        return f"Did you mean 'usr {synonym}'?"
    if len(words) > 1 and words[1] in names:
        return f"The command comes first: usr {words[1]} {words[0]}."
    return did_you_mean(words[0], names) or "See `usr --help`."


class ClosedPipe(Exception):
    """Whoever read our output has gone; typer would turn the plain error into exit code 1."""


class LazyGroup(TyperGroup):
    """The top level of the command line: knows commands by the table alone until one runs."""

    _names_only = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """Return the names of the commands that are shown."""
        dev = os.environ.get("USR_SHOW_DEV_COMMANDS") == "1"
        return [e.name for e in TABLE if dev or not e.hidden]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        """Return a command; for help and completion only its name and line of help."""
        entry = _BY_NAME.get(cmd_name)
        if entry is None:
            return None
        if self._names_only:
            return TyperCommand(entry.name, help=entry.help, rich_markup_mode=None)
        return lazy.load(entry.module, "COMMANDS")[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the words name, or say which one may be meant."""
        name = args[0]
        if name not in _BY_NAME and not name.startswith("-"):
            hint = meant(args, self.list_commands(ctx))
            raise SequencesError(f"There is no command 'usr {name}'", hint=hint)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the words name."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ClosedPipe from error

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands of the help, by section."""
        names = self.list_commands(ctx)
        width = max(map(len, names))
        for section in dict.fromkeys(e.section for e in TABLE):
            rows = [(e.name.ljust(width), e.help) for e in TABLE
                    if e.section == section and e.name in names]  # fmt: skip
            with formatter.section(section):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Complete names of commands without importing them."""
        with self._by_name_alone():
            return super().shell_complete(ctx, incomplete)

    @contextlib.contextmanager
    def _by_name_alone(self) -> Iterator[None]:
        self._names_only = True
        try:
            yield
        finally:
            self._names_only = False
