"""``usr remotes ...``: the other machines that datasets travel to."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from usr_nb.cli import options, render, say
from usr_nb.cli.apps import built, new_app
from usr_nb.cli.render import Sheet
from usr_nb.sync import remotes as book
from usr_nb.sync.doctor import Diagnosis, doctor as diagnose
from usr_nb.sync.remotes import Preset, Remote

app = new_app()
remotes = new_app("Name and check the machines to sync with.")
app.add_typer(remotes, name="remotes")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The remote's name.")]
NameOption = Annotated[str, typer.Option("--name", help="How commands will call it.")]
Host = Annotated[str, typer.Option("--host", help="The machine, as ssh knows it.")]
User = Annotated[str, typer.Option("--user", help="The account there.")]
BaseDir = Annotated[str, typer.Option("--base-dir", help="The root of datasets there.")]
KeyEnv = Annotated[
    str | None,
    typer.Option(
        "--ssh-key-env", metavar="VAR", help="Variable that holds the path of the private key.",
        show_default=False,
    ),
]  # fmt: skip
Port = Annotated[int | None, typer.Option("--port", help="If not 22.", show_default=False)]


@remotes.command("list")
def list_remotes(*, fmt: options.Show = "auto") -> None:
    """List the remotes of USR_REMOTES_PATH."""
    found = [_plain(r) for r in book.load().values()]
    columns = ("name", "host", "user", "base_dir")
    render.emit(fmt, found, Sheet(columns, [[f[c] for c in columns] for f in found]))


@remotes.command()
def show(name: Name, *, fmt: options.Show = "auto") -> None:
    """Show one remote."""
    found = _plain(book.get(name))
    render.emit(fmt, found, Sheet(list(found), [list(found.values())], tall=True))


@remotes.command()
def add(
    name: Name,
    *,
    type: Annotated[Literal["ssh"], typer.Option("--type", help="Only ssh.")] = "ssh",
    host: Host,
    user: User,
    base_dir: BaseDir,
    ssh_key_env: KeyEnv = None,
    port: Port = None,
) -> None:
    """Add a remote.

    Written into the file that USR_REMOTES_PATH names; comments in it are lost.
    """
    remote = Remote(
        name, host=host, user=user, base_dir=base_dir, ssh_key_env=ssh_key_env, port=port
    )
    path = book.add(remote)
    say.result(f"{path} has {type} remote {name}. Check it: usr remotes doctor --remote {name}")


@remotes.command()
def wizard(
    *,
    preset: Annotated[Preset, typer.Option("--preset", help="A known cluster.")] = "bu-scc",
    name: NameOption = "bu-scc",
    user: User,
    host: Annotated[
        str | None, typer.Option("--host", help="Not the preset's own.", show_default=False)
    ] = None,
    base_dir: BaseDir,
    transfer_node: Annotated[
        bool, typer.Option("--transfer-node", help="Use the node for large transfers.")
    ] = False,
    ssh_key_env: KeyEnv = None,
    port: Port = None,
) -> None:
    """Add a remote of a known cluster.

    Prints lines for ~/.ssh/config.
    """
    remote = book.preset(
        preset, name=name, user=user, host=host, base_dir=base_dir,
        transfer_node=transfer_node, ssh_key_env=ssh_key_env, port=port,
    )  # fmt: skip
    path = book.add(remote)
    say.note(f"{path} has remote {name}. Check it: usr remotes doctor --remote {name}\n"
             "These lines in ~/.ssh/config let `ssh` share one login:")  # fmt: skip
    say.result(book.ssh_config_snippet(remote))


@remotes.command()
def doctor(
    *,
    remote: Annotated[str, typer.Option("--remote", help="Its name.")],
    fmt: options.Show = "auto",
) -> int:
    """Check what a sync with a remote needs.

    The exit code is 1 if something fails.
    """
    with say.working(f"looking at {remote}"):
        found = diagnose(remote)
    render.emit(fmt, found.as_plain(), _checks(found))
    # Not in the table: a terminal would cut just what is to be read.
    for check in found.checks if render.resolved(fmt) != "json" else ():
        if check.fix:
            say.note(f"{check.name}: {check.fix}")
    return 0 if found.fine else 1


def _plain(remote: Remote) -> dict[str, Any]:
    return {"type": "ssh", **asdict(remote)}


def _checks(found: Diagnosis) -> Sheet:
    rows = [[c.verdict, c.name, c.found] for c in found.checks]
    return Sheet(("verdict", "check", "found"), rows)


COMMANDS = built(app)
