"""A real sshd on the loopback address, with keys that live as long as the tests."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STANDIN = Path(__file__).parent / "standin" / "ssh"

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AllowUsers {user}
AllowTcpForwarding no
X11Forwarding no
PrintMotd no
MaxStartups 100
MaxSessions 100
LogLevel VERBOSE
# A bash that is not the outermost reads no .bashrc: what stands there is not ours to test.
SetEnv SHLVL=9
"""


@dataclass(frozen=True)
class Server:
    """A running sshd.

    `bin` holds a program `ssh`, which is the real one with the server's own known_hosts.
    """

    port: int
    user: str
    key: Path
    bin: Path
    folder: Path


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def make_key(path: Path) -> str:
    """Write a throw-away key pair; return the public half."""
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)], check=True
    )
    return Path(f"{path}.pub").read_text()


def program(folder: Path, text: str, name: str = "ssh") -> Path:
    """Write an executable script into a folder of its own; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return folder


@contextmanager
def running(sshd: str, folder: Path) -> Iterator[Server]:
    """Run sshd in the foreground until the block ends; it is stopped by its pid."""
    port, user = free_port(), getpass.getuser()
    host = make_key(folder / "host_key")
    (folder / "authorized_keys").write_text(make_key(folder / "user_key"))
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host}")
    (folder / "sshd_config").write_text(CONFIG.format(port=port, user=user, folder=folder))
    (folder / "ssh_config").write_text(
        f"UserKnownHostsFile {folder}/known_hosts\nGlobalKnownHostsFile /dev/null\n"
        "StrictHostKeyChecking yes\nIdentityAgent none\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (folder / "log").open("wb") as log:
        # It ends with its input, so also when the tests are killed.
        process = subprocess.Popen(
            ["sh", "-c", '"$0" "$@" & cat; kill "$!"; wait',
             sshd, "-D", "-e", "-f", str(folder / "sshd_config")],
            stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    real = shutil.which("ssh")
    assert real is not None
    assert process.stdin is not None
    own = program(folder / "bin", f'#!/bin/sh\nexec {real} -F {folder}/ssh_config "$@"\n')
    try:
        _wait(process, port, folder / "log")
        yield Server(port, user, folder / "user_key", own, folder)
    finally:
        process.stdin.close()
        process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"sshd does not listen: {log.read_text()}")
