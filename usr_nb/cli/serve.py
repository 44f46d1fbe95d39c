"""Serve the explorer: start marimo as a child, say where it answers, stop it with Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import getpass
import http.client
import ipaddress
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from usr_nb.errors import SequencesError, ValidationError
from usr_nb.storage.layout import real_path
from usr_nb.storage.roots import is_path_like, resolve
from usr_nb.tools.places import notebook_file

FIRST_PORT: Final = 2718
"""Where the search for a free port begins; marimo's own default."""
_PORTS_TRIED: Final = 100
_START_TIMEOUT_S: Final = 90.0
_STOP_TIMEOUT_S: Final = 5.0
_BASE_URL = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")


def serve_explorer(
    root: Path,
    dataset: str | None,
    *,
    port: int | None,
    host: str = "127.0.0.1",
    base_url: str = "",
    open_browser: bool = False,
) -> int:
    """Serve the explorer until Ctrl-C, and say on standard output where it answers.

    Only this machine is served unless another `host` is given; then the address carries a token,
    since the explorer reads every file that its user may read. Nothing is written to disk.

    Parameters
    ----------
    root : Path
        The root of the datasets; it need not hold any.
    dataset : str, optional
        A dataset id, the last part of one, a dataset's folder or a Parquet file, to begin with.
    port : int, optional
        The port; None takes the first free one from :data:`FIRST_PORT`.
    host : str
        The address to listen on, such as ``0.0.0.0``.
    base_url : str
        The path below which a proxy serves the explorer, such as ``/user/me/proxy/2718``.
    open_browser : bool
        Open the address in the default browser.

    Returns
    -------
    int
        0 after Ctrl-C (or a request to terminate).

    Raises
    ------
    DatasetNotFound
        There is no such dataset.
    ValidationError
        The port is taken or out of range, or the base URL is malformed.
    SequencesError
        The explorer did not start, or stopped by itself.

    Examples
    --------
    >>> serve_explorer(Path("datasets"), None, port=None)  # doctest: +SKIP
    Explorer: http://127.0.0.1:2718/
    """
    begin_with = _target(root, dataset)
    base = _check_base_url(base_url)
    token = "" if _is_loopback(host) else secrets.token_urlsafe(16)
    with _stop_on_signals():
        chosen = _choose_port(host, port)
        child = _Child(_command(root, begin_with, chosen, host, base, token=bool(token)), token)
        try:
            _wait_until_ready(child, host, chosen, base)
            url = f"http://{_in_url(host)}:{chosen}{base}/"
            url += f"?access_token={token}" if token else ""
            _say(url, host, chosen)
            if open_browser:
                webbrowser.open(url)
            code = child.process.wait()
        except (KeyboardInterrupt, _AskedToStop):
            return 0
        finally:
            child.stop()
    raise SequencesError(
        f"The explorer stopped with exit code {code}{child.last_words()}",
        hint="Start it again.",
    )


def _target(root: Path, dataset: str | None) -> str | None:
    if not dataset:
        return None
    if is_path_like(dataset) or Path(dataset).is_file():
        return str(real_path(dataset))
    return resolve(root, dataset).name


def _check_base_url(text: str) -> str:
    base = text if text.startswith("/") or not text else f"/{text}"
    if not _BASE_URL.fullmatch(base):
        raise ValidationError(
            f"--base-url {text[:60]!r} is not a path", hint="Such as /user/me/proxy/2718."
        )
    return base.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_url(host: str) -> str:
    """Return what stands in the address; a listener on all addresses goes by the machine's name."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


# ------------------------------------------------------------------ the port


def _choose_port(host: str, port: int | None) -> int:
    if port is not None:
        if not 1 <= port <= 65_535:
            raise ValidationError(f"Port {port} is out of range", hint="Ports go from 1 to 65535.")
        if (problem := _bind_problem(host, port)) is not None:
            raise ValidationError(
                f"Cannot listen on {host}, port {port}: {problem.strerror}",
                hint="Choose another --port, or leave it out to take the next free one.",
            )
        return port
    for candidate in range(FIRST_PORT, FIRST_PORT + _PORTS_TRIED):
        problem = _bind_problem(host, candidate)
        if problem is None:
            return candidate
        if problem.errno != errno.EADDRINUSE:
            raise ValidationError(
                f"Cannot listen on {host}: {problem.strerror}",
                hint="Name an address of this machine, such as 127.0.0.1 or 0.0.0.0.",
            )
    last = FIRST_PORT + _PORTS_TRIED - 1
    raise ValidationError(
        f"Ports {FIRST_PORT} to {last} of {host} are all taken", hint="Name another --port."
    )


def _bind_problem(host: str, port: int) -> OSError | None:
    """Return why a server could not listen there, or None if it could."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            # As servers do: connections of a server that just stopped do not hold the port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            # Two sockets may both be bound with that option; only one of them may listen.
            probe.listen(1)
    except OSError as error:
        return error
    return None


# ------------------------------------------------------------------ the child


def _command(
    root: Path, dataset: str | None, port: int, host: str, base: str, *, token: bool
) -> list[str]:
    command = [sys.executable, "-m", "marimo", "run", str(notebook_file("explorer.py"))]
    command += ["--headless", "--no-sandbox", "--host", host, "--port", str(port)]
    command += ["--token", "--token-password-file", "-"] if token else ["--no-token"]
    command += ["--base-url", base] if base else []
    command += ["--", "--root", str(root)]
    return command + (["--dataset", dataset] if dataset else [])


@dataclass
class _Child:
    """The server process; what it writes to standard error is kept for the error message."""

    command: list[str]
    token: str
    process: subprocess.Popen[str] = field(init=False)
    reader: threading.Thread = field(init=False)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=20))

    def __post_init__(self) -> None:
        # A session of its own: Ctrl-C reaches only the parent, which then ends the child.
        self.process = subprocess.Popen(  # noqa: S603 - a list, no shell, our own interpreter
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        # Over the pipe: an argument could be read by everybody on the machine.
        with contextlib.suppress(BrokenPipeError):
            if self.process.stdin is not None:
                self.process.stdin.write(self.token)
                self.process.stdin.close()
        self.reader = threading.Thread(target=self._drain, daemon=True)
        self.reader.start()

    def _drain(self) -> None:
        for line in self.process.stderr or ():
            if line.strip():
                self.tail.append(line.rstrip())
        if self.process.stderr is not None:
            self.process.stderr.close()

    def last_words(self) -> str:
        return f": {self.tail[-1]}" if self.tail else ""

    def stop(self) -> None:
        """End the child politely, then for certain."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        # A grandchild may hold the pipe for longer than anybody wants to wait.
        self.reader.join(1)


def _wait_until_ready(child: _Child, host: str, port: int, base: str) -> None:
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared
    deadline = time.monotonic() + _START_TIMEOUT_S
    while child.process.poll() is None and time.monotonic() < deadline:
        if _is_healthy(near, port, base):
            return
        time.sleep(0.1)
    raise SequencesError(
        f"The explorer did not start on {host}, port {port}{child.last_words()}",
        hint="See what it says: " + " ".join(child.command[:5]),
    )


def _is_healthy(host: str, port: int, base: str) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", f"{base}/health")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class _AskedToStop(BaseException):
    """SIGTERM or SIGHUP arrived; not an error, so nothing on the way may catch it as one."""


@contextlib.contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Turn a request to terminate into an exception, so that the child is ended too."""

    def ask(*_: object) -> None:
        raise _AskedToStop

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # What the caller ignores stays ignored: nohup means to outlive the terminal.
    names = (signal.SIGTERM, signal.SIGHUP)
    heeded = [name for name in names if signal.getsignal(name) is not signal.SIG_IGN]
    before = {name: signal.signal(name, ask) for name in heeded}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _say(url: str, host: str, port: int) -> None:
    print(f"Explorer: {url}", flush=True)
    if os.environ.get("SSH_CONNECTION") or not _is_loopback(host):
        far = "localhost" if _is_loopback(host) or host in {"0.0.0.0", "::"} else host  # noqa: S104
        login = f"{getpass.getuser()}@{socket.gethostname()}"
        print(f"From your own machine: ssh -N -L {port}:{far}:{port} {login}", flush=True)
