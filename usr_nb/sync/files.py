"""FILE mode: one file, not of a dataset, to and from a remote (contract SYN-2).

Both sides may have changed it: what is overwritten and is not the content that both had when they
last met is kept beside, as ``<stem>.before-<pull|push>-<stamp><suffix>``.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Any, Final, Literal

from usr_nb.contract.times import to_snapshot_stamp, to_text, utc_now
from usr_nb.errors import (
    PathNotFound,
    RemoteConfigError,
    StorageError,
    ValidationError,
    VerificationError,
)
from usr_nb.storage import door, notes
from usr_nb.storage.layout import EVENTS, META, RECORDS, TXN, user_path
from usr_nb.sync import scripts
from usr_nb.sync.classes import classify
from usr_nb.sync.remotes import Remote, check_path, shown
from usr_nb.sync.ssh import Session

ROOT_ENV: Final = "DNADESIGN_REPO_ROOT"
STATE_ENV: Final = "USR_STATE_DIR"
SUFFIXES: Final = (".parquet", ".csv", ".jsonl")
FileState = Literal["same", "ahead", "behind", "diverged", "neither"]


@dataclass(frozen=True)
class FileSide:
    """One side's file: its size in bytes and SHA-256; None for both if it is not there."""

    size: int | None = None
    sha256: str | None = None

    @property
    def exists(self) -> bool:
        """Whether the file is there."""
        return self.sha256 is not None


@dataclass(frozen=True)
class FileDiff:
    """One file on both sides.

    Attributes
    ----------
    path : Path
        Here, absolute.
    remote_path : str
        There.
    local, remote : FileSide
    common : str or None
        SHA-256 of what both had when they last met.
    """

    path: Path
    remote_path: str
    local: FileSide
    remote: FileSide
    common: str | None

    @property
    def state(self) -> FileState:
        """``ahead`` if a push would move it, ``behind`` if a pull would, or both changed."""
        here, there = self.local.sha256, self.remote.sha256
        if here == there:
            return "same" if here else "neither"
        if there is None or there == self.common:
            return "ahead"
        return "behind" if here is None or here == self.common else "diverged"


@dataclass(frozen=True)
class FileReceipt:
    """What moving one file did.

    Attributes
    ----------
    path : Path
        Here.
    remote_path : str
        There.
    moved : bool
        False if both were equal already.
    size : int
        Bytes of the file.
    sha256 : str
    kept : str or None
        Where the overwritten file is kept, on the side that changed.
    """

    path: Path
    remote_path: str
    moved: bool
    size: int
    sha256: str
    kept: str | None = None


def is_file_target(target: str) -> bool:
    """Say whether a TARGET means FILE mode: an existing file, or a file's suffix.

    Examples
    --------
    >>> is_file_target("runs/42/records.parquet"), is_file_target("densegen/demo")
    (True, False)
    """
    return user_path(target).is_file() or target.endswith(SUFFIXES)


# Which file there -------------------------------------------------------------------------------


def map_path(
    local: Path,
    *,
    remote: Remote,
    repo_root: str | os.PathLike[str] | None = None,
    remote_path: str | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Return the remote's path of a local file.

    Parameters
    ----------
    local : Path
        The file here; it need not exist.
    remote : Remote
    repo_root : path, optional
        The local root, instead of the remote's ``local_repo_root`` or ``DNADESIGN_REPO_ROOT``.
    remote_path : str, optional
        The path there, instead: absolute, below ``~``, or relative to the remote's repo_root.
    env : mapping, optional
        Instead of the process's own environment.

    Raises
    ------
    RemoteConfigError
        A root is missing: what to add, and where.
    ValidationError
        The file lies outside the local root, or the name is not allowed.

    Examples
    --------
    >>> scc = Remote("scc", host="h", user="u", base_dir="/d", repo_root="/project/code")
    >>> map_path(Path("/repo/runs/x.csv"), remote=scc, repo_root="/repo", env={})
    '/project/code/runs/x.csv'
    """
    full = Path(os.path.normpath(Path.cwd() / local))
    if remote_path is not None:
        return _given(remote_path, remote)
    given = (
        repo_root or remote.local_repo_root or (os.environ if env is None else env).get(ROOT_ENV)
    )
    if not given:
        raise RemoteConfigError(
            f"It is not known which path {full} has at {remote.name}: there is no local root",
            hint=f"Give --repo-root, set local_repo_root or {ROOT_ENV}, or give --remote-path.",
        )
    root = user_path(given).resolve()
    # Links are followed here, so that none leads out of the root unseen.
    real = full.parent.resolve() / full.name
    if not real.is_relative_to(root) or real == root:
        raise ValidationError(
            f"{full} does not lie below the local root {root}",
            hint="Give another --repo-root, or the path there with --remote-path.",
        )
    return _joined(remote, real.relative_to(root).as_posix())


def _joined(remote: Remote, relative: str) -> str:
    if remote.repo_root is None:
        raise RemoteConfigError(
            f"Remote '{remote.name}' has no repo_root, so no path can be mapped",
            hint="Set repo_root in the remotes file, or give --remote-path.",
        )
    try:
        scripts.plain_name(relative)
    except (StorageError, ValidationError):
        raise ValidationError(
            f"{shown(relative)} cannot be a path at a remote", hint="Rename the file."
        ) from None
    return f"{remote.repo_root.rstrip('/')}/{relative}"


def _given(remote_path: str, remote: Remote) -> str:
    bad = not remote_path or remote_path.endswith("/") or remote_path.startswith("-")
    if bad or ".." in PurePosixPath(remote_path).parts:
        raise ValidationError(
            f"--remote-path {shown(remote_path)} is not allowed",
            hint="Name a file: an absolute path, or one relative to the remote's repo_root.",
        )
    if remote_path.startswith(("/", "~/")):
        try:
            return check_path(remote_path, what="--remote-path")
        except RemoteConfigError as error:
            raise ValidationError(error.message, hint=error.hint) from None
    return _joined(remote, remote_path)


def _own_files_refused(path: Path) -> None:
    """Raise for a file that a dataset keeps itself: it changes through commits only."""
    for folder in path.parents:
        if (folder / TXN).is_dir() or notes.read_name(folder / META):
            if classify(path.relative_to(folder).as_posix()) != "other":
                raise ValidationError(
                    f"{path} is a file of the dataset in {folder}",
                    hint=f"Sync the dataset: usr diff {folder} <remote>.",
                )
            return


# What both had ----------------------------------------------------------------------------------


def state_dir() -> Path:
    """Return where this account remembers: ``USR_STATE_DIR``, else by the XDG rules."""
    own = os.environ.get(STATE_ENV)
    if own:
        return user_path(own).absolute()
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local/state") / "usr_nb"


def _memory(remote: Remote, path: Path, remote_path: str) -> Path:
    key = json.dumps([remote.user, remote.host, remote.port, remote_path, str(path)])
    return state_dir() / "files" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def last_common(remote: Remote, path: Path, remote_path: str) -> str | None:
    """Return the SHA-256 that both sides had when they last met, or None."""
    try:
        plain: Any = json.loads(_memory(remote, path, remote_path).read_bytes())
        found = plain["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) and len(found) == 64 else None


def remember(remote: Remote, path: Path, remote_path: str, sha256: str) -> None:
    """Write down what both sides have now, into the state folder."""
    plain = {"version": 1, "remote": remote.name, "remote_path": remote_path,
             "path": str(path), "sha256": sha256, "at": to_text(utc_now())}  # fmt: skip
    with door.replaced_file(_memory(remote, path, remote_path)) as sink:
        sink.write(json.dumps(plain, indent=1).encode() + b"\n")


# Moving -----------------------------------------------------------------------------------------


def _split(remote_path: str) -> tuple[str, str]:
    folder, _, name = remote_path.rpartition("/")
    return scripts.folder_at(folder or "/"), name


def look_script(remote_path: str) -> str:
    """Return a script that prints ``<size> <sha256>`` of one file, or ``none``."""
    folder, name = _split(remote_path)
    at = quote(f"{folder.rstrip('/')}/{name}")
    return (
        f"if [ -f {at} ]; then printf '%s %s\\n' \"$(($(wc -c <{at})))\" "
        f'"$(sha256sum <{at} | cut -c 1-64)"\n'
        f"elif [ -e {at} ]; then fail {scripts.REFUSED} 'it is not a file there'\n"
        "else echo none\nfi\nat=done\n"
    )


def _incoming(remote: Remote, name: str) -> str:
    return f".usr-incoming-{hashlib.sha256(f'{remote.place}/{name}'.encode()).hexdigest()[:16]}"


def file_diff(session: Session, local: Path, remote_path: str) -> FileDiff:
    """Compare one file with the remote's by SHA-256; nothing is written.

    Parameters
    ----------
    session : Session
    local : Path
        Here; it need not exist.
    remote_path : str
        From :func:`map_path`.

    Raises
    ------
    RemoteUnavailableError, StorageError
    """
    path = Path(os.path.normpath(Path.cwd() / local))
    if path.is_symlink():
        raise ValidationError(f"{path} is a symbolic link", hint="Name the file it leads to.")
    common = last_common(session.remote, path, remote_path)
    there = session.run(look_script(remote_path), timeout_s=None, stage="checking").split()
    side = FileSide(int(there[0]), there[1].decode("ascii")) if len(there) == 2 else FileSide()
    return FileDiff(path, remote_path, _side(path), side, common)


def _side(path: Path) -> FileSide:
    if not path.exists():
        return FileSide()
    if not path.is_file():
        raise ValidationError(f"{path} is not a file", hint="FILE mode moves single files.")
    with door.typed(path, "read"):
        return FileSide(path.stat().st_size, door.file_sha256(path))


def _kept_name(name: str, direction: Literal["pull", "push"]) -> str:
    stem, dot, suffix = name.rpartition(".")
    stem, end = (stem, f".{suffix}") if dot and stem else (name, "")
    return f"{stem}.before-{direction}-{to_snapshot_stamp(utc_now())}{end}"


def pull_file(session: Session, diff: FileDiff) -> FileReceipt:
    """Make the local file the remote's.

    Written are the file, what it replaces beside it (unless both had that when they last met),
    and the memory of what both have now. A cut transfer leaves the file as it was.

    Parameters
    ----------
    session : Session
    diff : FileDiff
        From :func:`file_diff`.

    Raises
    ------
    PathNotFound
        The remote has no such file.
    VerificationError
        What came is not what was there: it changed meanwhile.
    RemoteUnavailableError, TransferError, StorageError, ValidationError
    """
    remote, there = session.remote, diff.remote
    if there.sha256 is None or there.size is None:
        raise PathNotFound(
            f"{remote.name} has no file {diff.remote_path}", hint="See `usr diff`, or push first."
        )
    if diff.state == "same":
        return _settled(session, diff)
    _own_files_refused(diff.path)
    folder, name = _split(diff.remote_path)
    staging = diff.path.parent / _incoming(remote, name)
    door.make_dirs(staging)
    session.fetch(folder, [name], staging, size=there.size)
    came = staging / name
    if not door.is_regular(came) or door.file_sha256(came) != there.sha256:
        door.unlink(came)
        door.remove_dir(staging)
        raise VerificationError(
            f"{diff.remote_path} changed at {remote.name} while it was copied",
            hint="Nothing was changed here. Run the command again.",
        )
    door.sync_file(came)
    kept = _keep(diff)
    door.rename(came, diff.path)
    door.sync_after(f"{diff.path} is written", diff.path.parent)
    door.remove_flat_dir(staging)
    remember(remote, diff.path, diff.remote_path, there.sha256)
    return FileReceipt(diff.path, diff.remote_path, True, there.size, there.sha256, kept)


def _settled(session: Session, diff: FileDiff) -> FileReceipt:
    digest, size = str(diff.local.sha256), diff.local.size or 0
    if diff.common != digest:
        remember(session.remote, diff.path, diff.remote_path, digest)
    return FileReceipt(diff.path, diff.remote_path, False, size, digest)


def _keep(diff: FileDiff) -> str | None:
    """Give the present file a second name, unless both sides had it when they last met."""
    now = _side(diff.path)
    if now.sha256 in (None, diff.common, diff.remote.sha256):
        return None
    beside = diff.path.with_name(_kept_name(diff.path.name, "pull"))
    try:
        door.link(diff.path, beside)
    except StorageError:  # A file system without hard links.
        with door.new_file(beside) as sink:
            door.copy_into(sink, diff.path)
    door.fsync_dir(beside.parent)
    return str(beside)


def prepare_script(remote_path: str, incoming: str, repo_root: str | None) -> str:
    """Return a script that makes the folder in which a file arrives, beside its place."""
    folder, _ = _split(remote_path)
    root = "" if repo_root is None else (
        f"[ -d {quote(scripts.folder_at(repo_root))} ] || "
        f"fail {scripts.NO_BASE} 'repo_root is not there'\n"
    )  # fmt: skip
    return (
        f"{root}mkdir -p -- {quote(f'{folder}/{incoming}')} || "
        f"fail {scripts.REFUSED} 'no permission to write there'\nat=done\n"
    )


def put_script(
    remote_path: str, *, incoming: str, source: str, sha256: str, common: str | None, kept: str
) -> str:
    """Return a script that verifies what came and puts it into its place.

    It prints ``kept`` if the file that was there, being neither the new one nor `common`, is now
    called `kept`.
    """
    folder, name = _split(remote_path)
    at, came, aside = quote(f"./{name}"), quote(f"./{incoming}/{source}"), quote(f"./{kept}")
    own = " ".join(f"[ {at} = {quote('./' + n)} ] ||" for n in (RECORDS, META, EVENTS))
    return (
        f"cd -P -- {quote(folder)} || fail {scripts.REFUSED} 'the folder is gone'\n"
        f"if [ -d {TXN} ]; then\n"
        f"  if {own} false; then fail {scripts.REFUSED} 'it is a file of a dataset there'; fi\nfi\n"
        f'[ "$(sha256sum <{came} | cut -c 1-64)" = {sha256} ] || '
        f"fail {scripts.STALE} 'what arrived is not what was sent'\n"
        f"[ ! -L {at} ] || fail {scripts.REFUSED} 'it is a symbolic link there'\n"
        f"if [ -e {at} ]; then\n  now=$(sha256sum <{at} | cut -c 1-64)\n"
        f'  if [ "$now" != {sha256} ] && [ "$now" != {quote(common or "-")} ]; then\n'
        f"    ln -T -- {at} {aside}\n    echo kept\n  fi\nfi\n"
        f"sync -- {came} 2>/dev/null || sync\nmv -f -T -- {came} {at}\n"
        f"sync -- . 2>/dev/null || sync\nrm -rf -- {quote(f'./{incoming}')}\nat=done\n"
    )


def push_file(session: Session, diff: FileDiff) -> FileReceipt:
    """Make the remote's file the local one.

    Written are, there, the file and what it replaces beside it (unless both had that when they
    last met), and here the memory of what both have now.

    Parameters
    ----------
    session : Session
    diff : FileDiff
        From :func:`file_diff`.

    Raises
    ------
    PathNotFound
        There is no such file here.
    RemoteUnavailableError, TransferError, StorageError, ValidationError, RemoteConfigError
    """
    remote, here = session.remote, diff.local
    if here.sha256 is None or here.size is None:
        raise PathNotFound(f"There is no file {diff.path}", hint="Check the path, or pull first.")
    if diff.state == "same":
        return _settled(session, diff)
    _own_files_refused(diff.path)
    folder, name = _split(diff.remote_path)
    # Another local file on its way to the same place has its own folder.
    incoming = _incoming(remote, f"{door.host_name()}:{diff.path}")
    mapped = remote.repo_root if remote.repo_root and diff.remote_path.startswith(
        remote.repo_root.rstrip("/") + "/") else None  # fmt: skip
    session.run(prepare_script(diff.remote_path, incoming, mapped))
    into = f"{folder.rstrip('/')}/{incoming}"
    session.send(diff.path.parent, [diff.path.name], into, size=here.size)
    kept = _kept_name(name, "push")
    script = put_script(
        diff.remote_path, incoming=incoming, source=diff.path.name, sha256=here.sha256,
        common=diff.common, kept=kept,
    )  # fmt: skip
    out = session.run(script, timeout_s=None, stage="verifying")
    remember(remote, diff.path, diff.remote_path, here.sha256)
    aside = f"{diff.remote_path.rpartition('/')[0]}/{kept}" if b"kept" in out.split() else None
    return FileReceipt(diff.path, diff.remote_path, True, here.size, here.sha256, aside)
