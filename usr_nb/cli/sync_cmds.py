"""``usr diff``, ``status``, ``pull`` and ``push``: two copies of a dataset or a file meet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usr_nb.cli import options, sync_target, sync_views
from usr_nb.cli.apps import built, new_app
from usr_nb.sync.look import Options
from usr_nb.sync.model import Prefer, VerifyMode

app = new_app()

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET", help="A dataset's id or folder, or a file (.parquet, .csv, .jsonl)."
    ),
]
Remote = Annotated[str, typer.Argument(metavar="REMOTE", help="As in `usr remotes list`.")]
Verify = Annotated[
    VerifyMode,
    typer.Option("--verify", help="How files are compared. auto: by SHA-256 where the remote can."),
]
PrimaryOnly = Annotated[bool, typer.Option("--primary-only", help="Only records.parquet.")]
SkipSnapshots = Annotated[
    bool,
    typer.Option("--skip-snapshots", help="Leave snapshots and archived parts where they are."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
Choice = Annotated[
    Prefer | None,
    typer.Option("--prefer", help="Whose version counts where both changed; the other is kept.",
                 show_default=False),
]  # fmt: skip
Delete = Annotated[
    bool, typer.Option("--delete", help="Also take away what the other side does not have.")
]
RepoRoot = Annotated[
    Path | None,
    typer.Option("--repo-root", help="Local root of single files.", show_default=False),
]
RemotePath = Annotated[
    str | None,
    typer.Option("--remote-path", help="Path of the single file there.", show_default=False),
]
ExitCode = Annotated[
    bool, typer.Option("--exit-code", help="End with 10 (ahead), 11 (behind) or 12 (both).")
]


@app.command()
def diff(
    subject: Target,
    remote: Remote,
    *,
    verify: Verify = "auto",
    primary_only: PrimaryOnly = False,
    skip_snapshots: SkipSnapshots = False,
    exit_code: ExitCode = False,
    repo_root: RepoRoot = None,
    remote_path: RemotePath = None,
    root: options.Root = None,
    fmt: options.ShowTree = "auto",
) -> int:
    """Compare a dataset or file with a remote's.

    Nothing is written.
    """
    chosen = Options(verify, primary_only=primary_only, skip_snapshots=skip_snapshots)
    plan = sync_target.plan(
        subject, remote, root, chosen, repo_root=repo_root, remote_path=remote_path
    )
    sync_views.show_diff(plan, fmt)
    return sync_views.EXIT_CODES.get(plan.state, 0) if exit_code else 0


@app.command()
def status(
    subject: Target,
    remote: Remote,
    *,
    verify: Verify = "auto",
    primary_only: PrimaryOnly = False,
    skip_snapshots: SkipSnapshots = False,
    exit_code: ExitCode = False,
    repo_root: RepoRoot = None,
    remote_path: RemotePath = None,
    root: options.Root = None,
    fmt: options.ShowTree = "auto",
) -> int:
    """Another name for diff."""
    return diff(
        subject, remote, verify=verify, primary_only=primary_only, skip_snapshots=skip_snapshots,
        exit_code=exit_code, repo_root=repo_root, remote_path=remote_path, root=root, fmt=fmt,
    )  # fmt: skip


@app.command()
def pull(
    subject: Target,
    remote: Remote,
    *,
    yes: options.Yes = False,
    dry_run: DryRun = False,
    verify: Verify = "auto",
    prefer: Choice = None,
    delete: Delete = False,
    primary_only: PrimaryOnly = False,
    skip_snapshots: SkipSnapshots = False,
    repo_root: RepoRoot = None,
    remote_path: RemotePath = None,
    root: options.Root = None,
    fmt: options.ShowTree = "auto",
) -> None:
    """Bring a remote's work here.

    What is here stays, and nothing is deleted without --delete. Where both sides changed what
    cannot be united, nothing is written until --prefer says whose version counts; the other is
    kept under another name.
    """
    chosen = Options(verify, prefer, delete, primary_only, skip_snapshots)
    plan = sync_target.plan(
        subject, remote, root, chosen, repo_root=repo_root, remote_path=remote_path
    )
    sync_views.move(plan, "pull", fmt, dry_run=dry_run, yes=yes)


@app.command()
def push(
    subject: Target,
    remote: Remote,
    *,
    yes: options.Yes = False,
    dry_run: DryRun = False,
    verify: Verify = "auto",
    prefer: Choice = None,
    delete: Delete = False,
    primary_only: PrimaryOnly = False,
    skip_snapshots: SkipSnapshots = False,
    repo_root: RepoRoot = None,
    remote_path: RemotePath = None,
    root: options.Root = None,
    fmt: options.ShowTree = "auto",
) -> None:
    """Take this side's work to a remote.

    What is there stays: the same as pull, in the other direction.
    """
    chosen = Options(verify, prefer, delete, primary_only, skip_snapshots)
    plan = sync_target.plan(
        subject, remote, root, chosen, repo_root=repo_root, remote_path=remote_path
    )
    sync_views.move(plan, "push", fmt, dry_run=dry_run, yes=yes)


COMMANDS = built(app)
