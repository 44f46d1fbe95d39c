"""Remotes: the YAML file at ``USR_REMOTES_PATH`` (contract SYN-1).

Everything in it is checked by allow-list when it is read, whoever wrote it: host, user and paths
become words of ``ssh`` and ``rsync`` command lines, and a remote's name becomes a folder.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from usr_nb.errors import (
    AlreadyExists,
    RemoteConfigError,
    SchemaError,
    StorageError,
    did_you_mean,
    join_hints,
    some,
)
from usr_nb.storage import door, lock
from usr_nb.storage.layout import user_path
from usr_nb.storage.registryfile import load_yaml

ENV: Final = "USR_REMOTES_PATH"
USUAL_PLACE: Final = "$HOME/.config/usr_nb/remotes.yaml"
Preset = Literal["bu-scc"]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}\Z")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_MAX_PATH: Final = 4000


@dataclass(frozen=True)
class Remote:
    """One remote: where it is and how to get there.

    Attributes
    ----------
    name : str
        How commands call it.
    host, user : str
        For ssh; ``[A-Za-z0-9._-]+``, not beginning with ``-``.
    base_dir : str
        The root of datasets there: absolute, or ``~/...``.
    ssh_key_env : str or None
        Name of the environment variable that holds the path of the private key.
    repo_root, local_repo_root : str or None
        What FILE mode maps onto one another.
    port : int or None
    batch_mode : bool
        False lets ssh ask for passwords.

    Examples
    --------
    >>> Remote("scc", host="scc1.bu.edu", user="ada", base_dir="/project/ada/usr").place
    'ada@scc1.bu.edu:22/project/ada/usr'
    """

    name: str
    host: str
    user: str
    base_dir: str
    ssh_key_env: str | None = None
    repo_root: str | None = None
    local_repo_root: str | None = None
    port: int | None = None
    batch_mode: bool = True

    def __post_init__(self) -> None:
        _check(self)

    @property
    def place(self) -> str:
        """Names the root there for good, for the memory of what both had in common."""
        return f"{self.user}@{self.host}:{self.port or 22}{self.base_dir}"

    def as_plain(self) -> dict[str, Any]:
        """Return the entry as it stands in the YAML file."""
        plain: dict[str, Any] = {
            "type": "ssh", "host": self.host, "user": self.user, "base_dir": self.base_dir,
            "ssh_key_env": self.ssh_key_env, "repo_root": self.repo_root,
            "local_repo_root": self.local_repo_root,
        }  # fmt: skip
        if self.port is not None:
            plain["port"] = self.port
        if not self.batch_mode:
            plain["batch_mode"] = False
        return plain

    def key_file(self, env: Mapping[str, str] | None = None) -> str | None:
        """Return the path of the private key, or None where ssh is to choose.

        Raises
        ------
        RemoteConfigError
            If the variable named by ``ssh_key_env`` is not set, or names no file.
        """
        if self.ssh_key_env is None:
            return None
        given = (os.environ if env is None else env).get(self.ssh_key_env, "")
        if not given:
            raise RemoteConfigError(
                f"Remote '{self.name}' takes its key from {self.ssh_key_env}, which is not set",
                hint=f"export {self.ssh_key_env}=<path of the private key>",
            )
        path = user_path(given).absolute()
        if not path.is_file():
            raise RemoteConfigError(
                f"{self.ssh_key_env} names {shown(given)}, which is no file",
                hint="Give the path of a private key.",
            )
        return str(path)


def shown(text: object) -> str:
    """Return text for a message: quoted, short, without control characters."""
    return repr(str(text)[:80])


def check_name(name: str) -> str:
    """Return `name` if it may name a remote.

    Raises
    ------
    RemoteConfigError
        If it is no plain word; it becomes a folder name.

    Examples
    --------
    >>> check_name("bu-scc")
    'bu-scc'
    """
    if not isinstance(name, str) or not _NAME.match(name) or ".." in name:
        raise RemoteConfigError(
            f"Remote name {shown(name)} is not allowed",
            hint="Use letters, digits, '.', '_' and '-', a letter or digit first.",
        )
    return name


def check_path(path: str, *, what: str) -> str:
    """Return `path` if it may be a folder at a remote: absolute or below ``~``.

    Raises
    ------
    RemoteConfigError
        If it is relative, begins with ``-``, or holds control characters.
    """
    fine = isinstance(path, str) and 0 < len(path) <= _MAX_PATH and not _CONTROL.search(path)
    if not fine or not (path.startswith(("/", "~/")) or path == "~"):
        raise RemoteConfigError(
            f"{what} {shown(path)} is not allowed",
            hint="Write an absolute path like /project/me/usr_datasets, or ~/usr_datasets.",
        )
    return path


def _check(remote: Remote) -> None:
    check_name(remote.name)
    for what, value in (("host", remote.host), ("user", remote.user)):
        if not isinstance(value, str) or not _WORD.match(value):
            raise RemoteConfigError(
                f"Remote '{remote.name}': {what} {shown(value)} is not allowed",
                hint="Use letters, digits, '.', '_' and '-'; not '-' first.",
            )
    check_path(remote.base_dir, what=f"Remote '{remote.name}': base_dir")
    if remote.repo_root is not None:
        check_path(remote.repo_root, what=f"Remote '{remote.name}': repo_root")
    here = remote.local_repo_root
    if here is not None and (
        not isinstance(here, str) or not here or here.startswith("-") or _CONTROL.search(here)
    ):
        raise RemoteConfigError(f"Remote '{remote.name}': local_repo_root {shown(here)}",
                                hint="Write the path of a local folder.")  # fmt: skip
    key = remote.ssh_key_env
    if key is not None and (not isinstance(key, str) or not _ENV_NAME.match(key)):
        raise RemoteConfigError(
            f"Remote '{remote.name}': ssh_key_env {shown(key)} is no name of a variable",
            hint="It names an environment variable, which holds the path of the key.",
        )
    port = remote.port
    if port is not None and (type(port) is not int or not 0 < port < 65536):
        raise RemoteConfigError(
            f"Remote '{remote.name}': port {shown(port)}", hint="A number from 1 to 65535."
        )
    if not isinstance(remote.batch_mode, bool):
        raise RemoteConfigError(
            f"Remote '{remote.name}': batch_mode {shown(remote.batch_mode)}", hint="true or false."
        )


# The file ---------------------------------------------------------------------------------------


def remotes_path() -> Path:
    """Return the file that ``USR_REMOTES_PATH`` names.

    Raises
    ------
    RemoteConfigError
        If it is not set; the hint gives the line for the shell.
    """
    given = os.environ.get(ENV, "")
    if not given:
        raise RemoteConfigError(
            f"{ENV} is not set",
            hint=f'Put into your shell\'s start file: export {ENV}="{USUAL_PLACE}"',
        )
    # A link, as managers of dotfiles make them, stays a link.
    return user_path(given).absolute().resolve()


def _read(path: Path) -> dict[str, Any]:
    """Return the whole mapping of the file, {} if there is none."""
    try:
        with path.open("rb") as f:
            data = f.read((8 << 20) + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RemoteConfigError(
            f"Cannot read {path}: {error.strerror}", hint=f"{ENV} must name a YAML file."
        ) from None
    try:
        plain = load_yaml(data, where=str(path))
    except SchemaError as error:
        raise RemoteConfigError(error.message, hint=error.hint) from None
    if plain is None:
        return {}
    named = plain.get("remotes") if isinstance(plain, dict) else plain
    if not isinstance(plain, dict) or not isinstance(named if named is not None else {}, dict):
        raise RemoteConfigError(
            f"{path} is no list of remotes", hint="Write remotes: {<name>: {type: ssh, ...}}."
        )
    return plain


def _remote(name: object, entry: object, path: Path) -> Remote:
    check_name(name)  # type: ignore[arg-type]
    if not isinstance(entry, dict):
        raise RemoteConfigError(
            f"{path}: remote '{name}' is no mapping", hint="See `usr remotes add`."
        )
    if entry.get("type", "ssh") != "ssh":
        raise RemoteConfigError(
            f"{path}: remote '{name}' has type {shown(entry['type'])}", hint="Only ssh is known."
        )
    for key in ("host", "user", "base_dir"):
        if not isinstance(entry.get(key), str):
            raise RemoteConfigError(
                f"{path}: remote '{name}' lacks {key}", hint=f"Write {key}: <text> under {name}."
            )
    known = {f: entry[f] for f in Remote.__dataclass_fields__ if f != "name" and f in entry}
    if known.get("batch_mode", True) is None:
        del known["batch_mode"]
    try:
        return Remote(str(name), **known)
    except RemoteConfigError as error:
        raise RemoteConfigError(f"{path}: {error.message}", hint=error.hint) from None


def load() -> dict[str, Remote]:
    """Return all remotes by name, sorted; {} if the file is not there yet.

    Raises
    ------
    RemoteConfigError
        If ``USR_REMOTES_PATH`` is not set or its file is malformed or unsafe.
    """
    path = remotes_path()
    named = _read(path).get("remotes") or {}
    return {str(n): _remote(n, e, path) for n, e in sorted(named.items(), key=lambda x: str(x[0]))}


def get(name: str) -> Remote:
    """Return one remote.

    Parameters
    ----------
    name : str
        As in the YAML file.

    Raises
    ------
    RemoteConfigError
        If there is none of that name; the hint gives the closest. Faults of other entries do
        not matter here.
    """
    check_name(name)
    path = remotes_path()
    named = _read(path).get("remotes") or {}
    if name not in named:
        known = sorted(str(n) for n in named)
        raise RemoteConfigError(
            f"There is no remote '{name}' in {path}",
            hint=join_hints(
                did_you_mean(name, known),
                f"Known are {some(known)}." if known else "None is defined yet.",
                "Add one with `usr remotes add`.",
            ),
        )
    return _remote(name, named[name], path)


def add(remote: Remote) -> Path:
    """Write a remote into the file, which is created if it is not there; return its path.

    Other entries and unknown keys stay; comments are lost. Adding the same remote again does
    nothing. Processes that add at the same time do not lose one another's.

    Raises
    ------
    AlreadyExists
        If another remote has this name; nothing is overwritten.
    RemoteConfigError, StorageError
        If the file is malformed, or cannot be written.
    """
    path = remotes_path()
    door.make_dirs(path.parent)
    with lock.held(path.parent, action="remotes add"):
        plain = _read(path)
        named = plain.get("remotes") or {}
        if remote.name in named:
            if _remote(remote.name, named[remote.name], path) == remote:
                return path
            raise AlreadyExists(
                f"Remote '{remote.name}' is already in {path}",
                hint="Choose another name, or edit the file.",
            )
        plain["remotes"] = {**named, remote.name: remote.as_plain()}
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        try:
            with door.replaced_file(path) as sink:
                sink.write(text.encode())
        except FileNotFoundError as error:
            raise StorageError(f"Cannot write {path}: {error.strerror}") from error
    return path


# Presets ----------------------------------------------------------------------------------------


def preset(
    kind: Preset,
    *,
    name: str,
    user: str,
    base_dir: str,
    host: str | None = None,
    transfer_node: bool = False,
    ssh_key_env: str | None = None,
    port: int | None = None,
) -> Remote:
    """Return a remote of a known cluster; nothing is written.

    Parameters
    ----------
    kind : {"bu-scc"}
        The Shared Computing Cluster of Boston University.
    name, user, base_dir : str
        As in :class:`Remote`.
    host : str, optional
        Instead of the preset's own.
    transfer_node : bool
        Use the node for large transfers.
    ssh_key_env, port : optional
        As in :class:`Remote`.

    Examples
    --------
    >>> preset("bu-scc", name="scc", user="ada", base_dir="/project/ada").host
    'scc1.bu.edu'
    """
    if kind != "bu-scc":
        raise RemoteConfigError(f"Preset {shown(kind)} is not known", hint="Use bu-scc.")
    own = "scc-globus.bu.edu" if transfer_node else "scc1.bu.edu"
    # The login node is what people copy from examples; asked for the transfer node, it gives way.
    chosen = own if host is None or (transfer_node and host == "scc1.bu.edu") else host
    return Remote(
        name, host=chosen, user=user, base_dir=base_dir, ssh_key_env=ssh_key_env, port=port
    )


def ssh_config_snippet(remote: Remote) -> str:
    """Return lines for ``~/.ssh/config`` that make ``ssh <name>`` work and connections shared.

    Examples
    --------
    >>> print(ssh_config_snippet(Remote("scc", host="h", user="u", base_dir="/d")))
    Host scc
      HostName h
      User u
      ServerAliveInterval 30
      ControlMaster auto
      ControlPath ~/.ssh/control-%C
      ControlPersist 10m
    """
    lines = [f"Host {remote.name}", f"  HostName {remote.host}", f"  User {remote.user}"]
    lines += [f"  Port {remote.port}"] if remote.port else []
    lines += ["  ServerAliveInterval 30", "  ControlMaster auto",
              "  ControlPath ~/.ssh/control-%C", "  ControlPersist 10m"]  # fmt: skip
    return "\n".join(lines)
