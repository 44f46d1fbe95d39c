"""Texts of the ``sh`` scripts that run at a remote: pure functions, no input or output.

The remote has no Python, so what :mod:`usr_nb.storage.slots` does here is said there in ``sh``,
GNU ``find`` and coreutils: the same order, the same checks, and like it safe to be killed at any
line and run again. Every name from outside is quoted by :func:`shlex.quote` or stands in a here
document with a quoted end, so none of it is ever read as a command.

A script is sent whole inside one function and called by its last line: one that was cut on the
way is a syntax error and does nothing.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Final

from usr_nb.contract.names import check_relative
from usr_nb.errors import StorageError

#: Exit codes of the scripts; :mod:`usr_nb.sync.ssh` makes errors of them.
STALE: Final = 3
UNFINISHED: Final = 4
LOCKED: Final = 5
REFUSED: Final = 6
NO_BASE: Final = 8
MOVING: Final = 9
#: What is left out of messages.
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_NO_NAME: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
DIGITS: Final = "[0-9]" * 12


def folder_at(base_dir: str, *parts: str) -> str:
    """Return a folder below a remote's ``base_dir`` as ``cd`` and rsync there take it.

    ``~/x`` becomes ``./x``: both begin in the home folder, and neither expands a quoted ``~``.

    Examples
    --------
    >>> folder_at("~/usr", "lab/demo"), folder_at("/data/usr/", "demo")
    ('./usr/lab/demo', '/data/usr/demo')
    """
    start = "." + base_dir[1:] if base_dir.startswith("~") else base_dir
    return "/".join([start.rstrip("/") or "/", *parts]).replace("//", "/")


def mtime_text(mtime_ns: int) -> str:
    """Return a time of change as ``stat -c %.9Y`` prints it.

    Examples
    --------
    >>> mtime_text(1_700_000_000_000_000_012)
    '1700000000.000000012'
    """
    seconds, ns = divmod(abs(mtime_ns), 1_000_000_000)
    return f"{'-' if mtime_ns < 0 else ''}{seconds}.{ns:09d}"


def plain_name(path: str) -> str:
    """Return a relative path that a script may hold, or raise: no control characters."""
    check_relative(path)
    if _NO_NAME.search(path):
        raise StorageError(
            f"{path[:80]!r} has control characters in its name",
            hint="Rename the file; sync carries no such names.",
        )
    return path


# The frame --------------------------------------------------------------------------------------

_FRAME: Final = """\
set -eu
LC_ALL=C
export LC_ALL
unset CDPATH || :
at=begun
said=
fail() {{ said=$2; exit "$1"; }}
at_end() {{
  rc=$?
  trap - EXIT
  printf '\\nUSR-END-{nonce} %s %s %s\\n' "$rc" "$at" "$said" || :
  exit "$rc"
}}
usr_main() {{
{body}
}}
trap at_end EXIT
printf '\\nUSR-BEGIN-{nonce}\\n'
usr_main </dev/null
"""


def new_nonce() -> str:
    """Return a word that no chatter of a login shell holds by chance."""
    return secrets.token_hex(8)


def framed(body: str, nonce: str) -> str:
    """Return a whole script: the body in a function, its output between header and trailer."""
    return _FRAME.format(body=body, nonce=nonce)


@dataclass(frozen=True)
class Answer:
    """What a script said between header and trailer.

    Attributes
    ----------
    out : bytes
        Its output.
    code : int
        Its exit code.
    at : str
        How far it came: ``begun``, ``committed``, ``done``.
    said : str
        Why it failed.
    """

    out: bytes
    code: int
    at: str
    said: str


def parse_answer(out: bytes, nonce: str) -> tuple[bool, Answer | None]:
    r"""Return whether the script began, and its answer if it came whole.

    Examples
    --------
    >>> parse_answer(b"motd\nUSR-BEGIN-0\nx\nUSR-END-0 0 done \n", "0")
    (True, Answer(out=b'x', code=0, at='done', said=''))
    """
    _, begun, rest = out.partition(f"\nUSR-BEGIN-{nonce}\n".encode())
    if not begun:
        return False, None
    body, ended, tail = rest.rpartition(f"\nUSR-END-{nonce} ".encode())
    if not ended or not tail.partition(b"\n")[1]:
        # A body without output shares its newline with the header.
        if not rest.startswith(f"USR-END-{nonce} ".encode()) or b"\n" not in rest:
            return True, None
        body, tail = b"", rest.partition(b" ")[2]
    code, at, said = (*tail.partition(b"\n")[0].decode("utf-8", "replace").split(" ", 2), "", "")[
        :3
    ]
    return True, Answer(body, int(code) if code.isdigit() else 255, at, said.strip())


def here_document(text: str) -> tuple[str, str]:
    """Return the opening and the body of a here document that nothing expands."""
    end = f"USR_{secrets.token_hex(8)}"
    if "\0" in text:
        raise StorageError("A text holds a NUL byte", hint="It cannot be sent by a script.")
    return f"<<'{end}'", f"{text}{'' if text.endswith(chr(10)) else chr(10)}{end}\n"


# What several scripts use -----------------------------------------------------------------------

SLOTS: Final = f"""\
highest() {{
  top=000000000000
  for s in _txn/slot-{DIGITS}; do
    if [ -e "$s" ]; then top=${{s#_txn/slot-}}; fi
  done
}}
operation() {{
  found=$(sed -n '1s/^{{\\("txn_version": *[0-9]*, *\\)\\{{0,1\\}}"operation_id": *"\\([0-9TZ]*-[0-9a-f]*\\)".*/\\2/p' "_txn/slot-$1" 2>/dev/null || :)
}}
"""  # noqa: E501 - one line of sed


def go_to(folder: str) -> str:
    """Return the line that goes to a folder, or fails."""
    return f"cd -P -- {quote(folder)} 2>/dev/null || fail {REFUSED} 'the folder is not there'\n"


# Looking ----------------------------------------------------------------------------------------


def digest_lines(paths: Iterable[str]) -> str:
    """Return lines that print the SHA-256 of files; a missing one is left out."""
    opening, rest = here_document("\n".join(map(plain_name, paths)))
    return f"tr '\\n' '\\0' {opening} | xargs -0 -r sha256sum -- || :\n{rest}"


def hash_script(folder: str, paths: Mapping[str, int | None]) -> str:
    """Return a script that prints the SHA-256 of files, in the form of ``sha256sum``.

    Parameters
    ----------
    folder : str
        The dataset there.
    paths : mapping of str to int or None
        Where each file lies, relative to it; a number limits the digest to that many bytes from
        the beginning, for files that grow. Missing files are left out.
    """
    text = go_to(folder)
    whole = [p for p, limit in paths.items() if limit is None]
    if whole:
        text += digest_lines(whole)
    for path, limit in paths.items():
        if limit is not None:
            name = quote(plain_name(path))
            text += (
                f"if [ -f {name} ]; then printf '%s  %s\\n' "
                f'"$(head -c {limit} -- {name} | sha256sum | cut -c 1-64)" {name}; fi\n'
            )
    return text + "at=done\n"


def parse_digests(out: bytes) -> dict[str, str]:
    r"""Return path → SHA-256 from lines of ``sha256sum``.

    Examples
    --------
    >>> parse_digests(b"0" * 64 + b"  a b\n") == {"a b": "0" * 64}
    True
    """
    found = {}
    for line in out.split(b"\n"):
        escaped = line.startswith(b"\\")
        digest, _, name = line.removeprefix(b"\\").partition(b"  ")
        if len(digest) != 64 or not name:
            continue
        if escaped:
            name = name.replace(b"\\\\", b"\\")
        found[name.decode("utf-8", "surrogateescape")] = digest.decode("ascii", "replace")
    return found


def look_script(base: str, dataset: str) -> str:
    """Return a script that lists a dataset and its root: NUL-terminated records, nothing hashed.

    Parameters
    ----------
    base : str
        The root there (:func:`folder_at`).
    dataset : str
        The id below it.
    """
    name = quote(dataset)
    return (
        SLOTS
        + f"""\
word() {{ printf '%s\\0' "$*"; }}
blob() {{ printf '%s ' "$1"; base64 <"$2" | tr -d '\\n'; printf '\\0'; }}
pending() {{
  highest
  word "$1slot" "$top"
  [ "$top" != 000000000000 ] || return 0
  operation "$top"
  if [ -n "$found" ] && [ -d "_txn/$found" ]; then
    blob "$1pending" "_txn/slot-$top"
    if [ -f "_txn/$found/f0" ] && [ -n "$1" ]; then blob "$1staged" "_txn/$found/f0"; fi
    find "_txn/$found" -type f -printf "$1p %i %s %T@ %f\\0" || fail {MOVING} 'files are moving'
  fi
}}
cd -P -- {quote(base)} 2>/dev/null || fail {NO_BASE} 'base_dir is not there, or not accessible'
word place "$(pwd)"
word clock "$(date +%s.%N)"
for t in sha256sum flock python3; do
  if command -v "$t" >/dev/null 2>&1; then word tool "$t"; fi
done
pending root
if [ -f registry.yaml ]; then blob registry registry.yaml; fi
word target "$(pwd)/"{name}
if [ -d {name} ]; then
  cd -P -- {name} || fail {REFUSED} 'the dataset folder cannot be entered'
  word folder "$(pwd)"
  pending ''
  if [ -e registry.yaml ]; then word isroot yes; fi
  find . -mindepth 1 \\( -path ./_txn -prune \\) -o -type f -printf 'f %i %s %T@ %P\\0' -o ! -type d -printf 's 0 0 0 %P\\0' || fail {MOVING} 'some files or folders cannot be listed'
  highest
  word after "$top"
fi
at=done
"""  # noqa: E501 - shell
    )
