"""One connection to a remote: scripts run there through ``ssh``, files travel through ``rsync``.

Nothing from data stands in a remote command line: the command is always ``sh -s``, scripts go in
through standard input, paths through rsync's protected arguments and NUL-separated lists. Host
and user are checked by allow-list (:mod:`usr_nb.sync.remotes`) and stand behind ``-l`` and ``--``.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from usr_nb.contract.progress import report
from usr_nb.errors import (
    LockTimeout,
    RemoteConfigError,
    RemoteUnavailableError,
    SequencesError,
    StalePlanError,
    StorageError,
    TransferError,
)
from usr_nb.sync import scripts
from usr_nb.sync.child import Child, Ended, SlowError
from usr_nb.sync.remotes import Remote
from usr_nb.sync.scripts import Answer

CONNECT_TIMEOUT_S: Final = 10
SCRIPT_TIMEOUT_S: Final = 300.0
#: rsync gives up when nothing has moved for so long.
SILENCE_S: Final = 120
#: Where rsync keeps what came of a cut file. It refuses files that lie in folders of this name, so
#: it is one that no sync carries (:func:`usr_nb.sync.classes.classify`).
PARTIAL: Final = ".~tmp~usr"
_PROGRESS = re.compile(rb"[\r\n]?\s*([0-9,.]+)\s+\d+%")


def tail_of(text: str, *, limit: int = 300) -> str:
    r"""Return the end of a program's words on one line, without control characters.

    Examples
    --------
    >>> tail_of("motd\nssh: connect: refused\r\n")
    'motd; ssh: connect: refused'
    """
    lines = [scripts.CONTROL.sub("", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    # Whole lines, unless the last alone is too long: half a sentence is no reason.
    while len(lines) > 1 and len("; ".join(lines)) > limit:
        del lines[0]
    return "; ".join(lines)[-limit:]


# The session ------------------------------------------------------------------------------------


class Session:
    """Connections of one command to one remote, over one shared connection where that works.

    Use as a context manager. No method concludes anything from silence: an answer without its
    header and trailer is an error.

    Parameters
    ----------
    remote : Remote
    multiplex : bool
        Share one connection (ssh's ControlMaster).

    Examples
    --------
    >>> session = Session(Remote("scc", host="scc1.bu.edu", user="ada", base_dir="/data/ada"))
    >>> session.command()[-5:]
    ['-l', 'ada', '--', 'scc1.bu.edu', 'sh -s']
    """

    def __init__(self, remote: Remote, *, multiplex: bool = True) -> None:
        self.remote = remote
        self._key = remote.key_file()
        runtime = os.environ.get("XDG_RUNTIME_DIR", "")
        # A name nobody can guess, in a folder where nobody can take it away; sun_path is short.
        folder = runtime if runtime.startswith("/") and len(runtime) < 60 else "/tmp"  # noqa: S108
        self._socket = Path(folder) / f"usr-{secrets.token_hex(8)}"
        self._multiplex = multiplex and ":" not in folder and "%" not in folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the shared connection."""
        if self._multiplex and self._socket.exists():
            argv = ["ssh", "-o", f"ControlPath={self._socket}", "-O", "exit", "--",
                    self.remote.host]  # fmt: skip
            with contextlib.suppress(SlowError, SequencesError):
                Child(argv, b"", own_group=True).run(timeout_s=5, tick=lambda _: None)

    def _options(self) -> list[str]:
        remote = self.remote
        options = [
            "-T", "-x", "-a",
            "-o", f"BatchMode={'yes' if remote.batch_mode else 'no'}",
            "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}",
            "-o", "ConnectionAttempts=1",
            "-o", "ServerAliveInterval=15",
            "-o", "ServerAliveCountMax=4",
            "-o", "ClearAllForwardings=yes",
        ]  # fmt: skip
        if self._multiplex:
            options += ["-o", "ControlMaster=auto", "-o", f"ControlPath={self._socket}",
                        "-o", "ControlPersist=60"]  # fmt: skip
        if self._key is not None:
            options += ["-i", self._key, "-o", "IdentitiesOnly=yes"]
        if remote.port is not None:
            options += ["-p", str(remote.port)]
        return options

    def command(self) -> list[str]:
        """Return the command line that runs a script there: always the same words."""
        return ["ssh", *self._options(), "-l", self.remote.user, "--", self.remote.host, "sh -s"]

    # Scripts ------------------------------------------------------------------------------------

    def run(
        self,
        body: str,
        *,
        timeout_s: float | None = SCRIPT_TIMEOUT_S,
        stage: str = "asking",
    ) -> bytes:
        """Run a script of :mod:`usr_nb.sync.scripts` there and return its output.

        Parameters
        ----------
        body : str
            The script.
        timeout_s : float or None
            Seconds until it is given up; None waits as long as the connection lives.
        stage : str
            What progress calls it; the count is of seconds.

        Raises
        ------
        RemoteUnavailableError
            There is no connection; nothing is concluded about what the remote holds.
        TransferError
            The script was cut off, or failed in a way it did not foresee.
        StalePlanError, LockTimeout, RemoteConfigError, StorageError
            What the script says.
        """
        answer = self.ask(body, timeout_s=timeout_s, stage=stage)
        if answer.code:
            raise self.refusal(answer)
        return answer.out

    def ask(
        self,
        body: str,
        *,
        timeout_s: float | None = SCRIPT_TIMEOUT_S,
        stage: str = "asking",
    ) -> Answer:
        """Run a script as :meth:`run` does, and return its answer whatever its exit code."""
        nonce = scripts.new_nonce()
        text = scripts.framed(body, nonce).encode("utf-8")
        ended = self._ssh(text, timeout_s, stage)
        begun, answer = scripts.parse_answer(ended.out, nonce)
        if not begun and self._multiplex and _is_mux_trouble(ended):
            self._multiplex = False
            ended = self._ssh(text, timeout_s, stage)
            begun, answer = scripts.parse_answer(ended.out, nonce)
        if answer is not None:
            said = answer.said or tail_of(ended.err)
            return Answer(answer.out, answer.code, answer.at, said)
        if ended.code == 255 and not begun:
            raise unavailable(self.remote, ended.err)
        if not begun:
            raise RemoteUnavailableError(
                f"{self.remote.name} did not run our script (exit code {ended.code}): "
                f"{tail_of(ended.err) or 'it said nothing'}",
                hint="The account there must be able to run `sh`.",
            )
        raise TransferError(
            f"The connection to {self.remote.name} was lost: {tail_of(ended.err) or 'no reason'}",
            hint="Run the command again: it looks at what is there and goes on.",
        )

    def _ssh(self, text: bytes, timeout_s: float | None, stage: str) -> Ended:
        child = Child(self.command(), text, own_group=self.remote.batch_mode)
        try:
            return child.run(
                timeout_s=timeout_s, tick=lambda s: report(stage, int(s), None, "seconds")
            )
        except SlowError:
            raise RemoteUnavailableError(
                f"{self.remote.name} did not answer within {timeout_s:.0f} seconds",
                hint="Try again later; see `usr remotes doctor`.",
            ) from None

    def refusal(self, answer: Answer) -> SequencesError:
        """Return the error that the exit code of a script means."""
        name, said = self.remote.name, scripts.CONTROL.sub("", answer.said)
        if answer.code in (scripts.STALE, scripts.UNFINISHED, scripts.MOVING):
            return StalePlanError(
                f"{name}: {said}", hint="Nothing was changed by this step. Run the command again."
            )
        if answer.code == scripts.LOCKED:
            return LockTimeout(
                f"The dataset at {name} is locked: {said or 'by another process'}",
                hint="Wait for it to end, then run the command again.",
            )
        if answer.code == scripts.NO_BASE:
            return RemoteConfigError(
                f"{name}: {self.remote.base_dir}: {said}",
                hint="Create the folder there, or correct base_dir in the remotes file.",
            )
        if answer.code == scripts.REFUSED:
            return StorageError(f"{name}: {said}", hint="See `usr remotes doctor`.")
        return TransferError(
            f"{name}: a script failed (exit code {answer.code}): {said or 'no reason given'}",
            hint="See `usr remotes doctor`; run the command again afterwards.",
        )

    # Files --------------------------------------------------------------------------------------

    def fetch(
        self,
        folder: str,
        paths: Sequence[str],
        into: Path,
        *,
        size: int | None = None,
        basis: Path | None = None,
    ) -> None:
        """Copy files from the remote; a cut transfer is taken up again by the next.

        Parameters
        ----------
        folder : str
            There (:func:`usr_nb.sync.scripts.folder_at`).
        paths : sequence of str
            Relative to it; they keep their paths below `into`.
        into : Path
            A staging folder of this dataset, which exists.
        size : int, optional
            Bytes in all, for progress.
        basis : Path, optional
            A folder whose files of the same paths are likely to share bytes with them.

        Raises
        ------
        RemoteUnavailableError, TransferError
        """
        there = f"{self.remote.user}@{self.remote.host}:{folder.rstrip('/')}/"
        self._rsync([there, f"{into}/"], paths, "receiving", size,
                    None if basis is None else str(basis))  # fmt: skip

    def send(
        self,
        base: Path,
        paths: Sequence[str],
        into: str,
        *,
        size: int | None = None,
        basis: str | None = None,
    ) -> None:
        """Copy files to the remote; a cut transfer is taken up again by the next.

        Parameters
        ----------
        base : Path
            Here.
        paths : sequence of str
            Relative to it; they keep their paths below `into`.
        into : str
            A folder there (:func:`usr_nb.sync.scripts.folder_at`), which exists.
        size : int, optional
            Bytes in all, for progress.
        basis : str, optional
            A folder there, relative to `into`, whose files of the same paths are likely to share
            bytes with them.

        Raises
        ------
        RemoteUnavailableError, TransferError
        """
        there = f"{self.remote.user}@{self.remote.host}:{into.rstrip('/')}/"
        self._rsync([f"{base}/", there], paths, "sending", size, basis)

    def rsync_command(self, ends: Sequence[str], basis: str | None = None) -> list[str]:
        """Return the rsync command line between two folders."""
        shell = " ".join(_rsh_quote(a) for a in ["ssh", *self._options()])
        # Times are kept so that a second run knows a whole file; modes are the umask's. A basis
        # holds other versions of the files: there size and time must not pass for content.
        return [
            "rsync", "--times", "--no-perms", "--chmod=ugo=rwX", "--files-from=-", "--from0",
            "--protect-args", f"--partial-dir={PARTIAL}", f"--timeout={SILENCE_S}",
            "--info=progress2", "--no-human-readable",
            *([f"--copy-dest={basis}", "--ignore-times"] if basis else []),
            "-e", shell, "--", *ends,
        ]  # fmt: skip

    def _rsync(
        self,
        ends: Sequence[str],
        paths: Sequence[str],
        stage: str,
        size: int | None,
        basis: str | None,
    ) -> None:
        if not paths:
            return
        # Bare names that begin with '#' or ';' would be comments to rsync.
        listed = "\0".join(f"./{scripts.plain_name(p)}" for p in paths).encode("utf-8")
        moved = _Moved()
        child = Child(self.rsync_command(ends, basis), listed, own_group=self.remote.batch_mode,
                       on_output=moved.take)  # fmt: skip
        report(stage, 0, size, "bytes")

        def tick(_: float) -> None:
            report(stage, moved.bytes if size is None else min(moved.bytes, size), size, "bytes")

        try:
            ended = child.run(timeout_s=None, tick=tick)
        except SlowError:
            raise TransferError("rsync did not end", hint="Run the command again.") from None
        if ended.code:
            raise _rsync_error(self.remote, ended)
        total = moved.bytes if size is None else size
        report(stage, total, total, "bytes")


class _Moved:
    """The number of bytes that rsync says it has moved."""

    def __init__(self) -> None:
        self.bytes = 0
        self._rest = b""

    def take(self, data: bytes) -> None:
        text = self._rest + data
        found = _PROGRESS.findall(text)
        if found:
            self.bytes = int(re.sub(rb"\D", b"", found[-1]))
        self._rest = text[-64:]


def _rsh_quote(word: str) -> str:
    """Quote a word as rsync splits the value of ``-e``: a quote inside is doubled.

    Examples
    --------
    >>> _rsh_quote("a'b c")
    "'a''b c'"
    """
    return (
        word if re.fullmatch(r"[A-Za-z0-9_./=,%-]+", word) else "'" + word.replace("'", "''") + "'"
    )


# What went wrong --------------------------------------------------------------------------------


_SSH_WORDS = re.compile(
    r"^ssh: |Host key verification failed|IDENTIFICATION HAS CHANGED|Permission denied \([a-z]"
    r"|Too many authentication failures",
    re.MULTILINE,
)
_RECEIVED = re.compile(r"\(([0-9,]+) bytes received so far\)")
_MISFIT_WORDS: Final = ("version mismatch", "is your shell clean", "unknown option")
_MUX_WORDS: Final = ("controlsocket", "control socket", "controlpath", "unix_listener", "mux_")


def _is_mux_trouble(ended: Ended) -> bool:
    text = ended.err.lower()
    return ended.code == 255 and any(word in text for word in _MUX_WORDS)


def unavailable(remote: Remote, err: str) -> RemoteUnavailableError:
    """Return the error for a connection that ssh could not make, with what to do.

    Parameters
    ----------
    remote : Remote
    err : str
        What ssh wrote to standard error.

    Examples
    --------
    >>> scc = Remote("scc", host="h", user="u", base_dir="/d")
    >>> unavailable(scc, "ssh: Could not resolve hostname h: no such host").hint
    'Check `host` of the remote (h) and your network.'
    """
    text = err.lower()
    login = f"ssh {f'-p {remote.port} ' if remote.port else ''}{remote.user}@{remote.host}"
    if "identification has changed" in text:
        why = "its host key has changed"
        known = f"'[{remote.host}]:{remote.port}'" if remote.port else remote.host
        hint = f"Ask its admins; if that is right, run: ssh-keygen -R {known}"
    elif "host key verification failed" in text:
        why = "its host key is not known"
        hint = f"Log in once by hand, compare the fingerprint and accept it: {login}"
    elif "permission denied" in text or "too many authentication failures" in text:
        why = "it refused the login"
        hint = (
            f"Make this work without a password: {login}. Load the key with `ssh-add`, install "
            "it with `ssh-copy-id`, or name it by ssh_key_env; batch_mode: false lets ssh ask."
        )
    elif "could not resolve" in text:
        why = "its name is not known"
        hint = f"Check `host` of the remote ({remote.host}) and your network."
    elif "timed out" in text or "timeout" in text:
        why, hint = "it did not answer in time", "Check the network or VPN, then try again."
    elif "refused" in text:
        why, hint = "nothing listens there", "Check `host` and `port` of the remote."
    else:
        why, hint = "ssh gave up", f"Try it by hand: {login}"
    return RemoteUnavailableError(
        f"Cannot reach {remote.name}: {why} ({tail_of(err) or 'ssh said nothing'})", hint=hint
    )


def _rsync_error(remote: Remote, ended: Ended) -> SequencesError:
    said = tail_of(ended.err) or "no reason given"
    again = "Nothing was installed. Run the command again: it goes on where this one stopped."
    # Whether rsync or ssh ends first is chance, and so is the code.
    under_way = any(int(n.replace(",", "")) for n in _RECEIVED.findall(ended.err))
    if _SSH_WORDS.search(ended.err) or (ended.code == 255 and not under_way):
        return unavailable(remote, ended.err)
    if ended.code == 127 or "rsync: command not found" in ended.err or "rsync: not" in ended.err:
        return TransferError(f"{remote.name} has no rsync: {said}", hint="Install rsync there.")
    if ended.code == 11 or "No space left" in ended.err:
        return TransferError(f"The receiving disk refused: {said}", hint=f"Free space. {again}")
    if ended.code in (23, 24):
        return TransferError(
            f"Some files could not be copied: {said}",
            hint=f"They may have changed or gone meanwhile. {again}",
        )
    if any(word in ended.err for word in _MISFIT_WORDS):
        return TransferError(
            f"The two rsyncs do not understand each other: {said}",
            hint="See `usr remotes doctor`: rsync 3.1 or newer is needed on both sides, and the "
            "shell there must print nothing by itself.",
        )
    return TransferError(f"The transfer was cut (rsync code {ended.code}): {said}", hint=again)
