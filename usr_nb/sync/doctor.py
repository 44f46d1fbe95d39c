"""``usr remotes doctor``: what a sync needs on both sides, and how to get what is missing."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from shlex import quote
from typing import Any, Final, Literal

from usr_nb.errors import SequencesError
from usr_nb.sync import scripts
from usr_nb.sync.remotes import Remote, get
from usr_nb.sync.ssh import Session

Verdict = Literal["ok", "warning", "failed"]
MAX_CLOCK_S: Final = 5.0
FEW_BYTES: Final = 1 << 30
OLDEST_RSYNC: Final = (3, 1)
_VERSION = re.compile(r"version v?(\d+)\.(\d+)")


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes
    ----------
    name : str
        What was looked at.
    verdict : {"ok", "warning", "failed"}
        A warning does not stop a sync.
    found : str
        What is there.
    fix : str or None
        What to do, unless it is ok.
    """

    name: str
    verdict: Verdict
    found: str
    fix: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """All checks of one remote.

    Attributes
    ----------
    remote : str
    checks : tuple of Check
    """

    remote: str
    checks: tuple[Check, ...]

    @property
    def fine(self) -> bool:
        """Whether nothing failed."""
        return all(c.verdict != "failed" for c in self.checks)

    def as_plain(self) -> dict[str, Any]:
        """Return the diagnosis as plain values, for JSON."""
        return {"remote": self.remote, "ok": self.fine, "checks": [asdict(c) for c in self.checks]}


def doctor(name: str) -> Diagnosis:
    """Look at everything that a sync with a remote needs.

    At the remote one small folder is created in ``base_dir`` and removed again.

    Parameters
    ----------
    name : str
        As in the remotes file.

    Raises
    ------
    RemoteConfigError
        If there is no such remote, or its entry is malformed.
    """
    remote = get(name)
    checks = list(_here())
    try:
        with Session(remote) as session:
            begun = time.time()
            answer = session.ask(_script(scripts.folder_at(remote.base_dir)), timeout_s=60)
            if answer.code:
                raise session.refusal(answer)
            checks += _there(remote, _facts(answer.out), begun, time.time())
    except SequencesError as error:
        checks.append(Check("ssh", "failed", error.message, error.hint or "See docs/sync.md."))
    return Diagnosis(remote.name, tuple(checks))


def _version(text: str) -> tuple[int, int] | None:
    m = _VERSION.search(text)
    return (int(m.group(1)), int(m.group(2))) if m else None


def _rsync(name: str, text: str, install: str) -> Check:
    version = _version(text)
    if not text:
        return Check(name, "failed", "not there", install)
    if version is None or version < OLDEST_RSYNC or "openrsync" in text:
        found = text.splitlines()[0][:80]
        return Check(name, "failed", found, f"rsync 3.1 or newer is needed. {install}")
    return Check(name, "ok", f"rsync {version[0]}.{version[1]}")


def _here() -> Iterator[Check]:
    """Look at the tools on this side."""
    install = "Install openssh-client and rsync (macOS: brew install rsync)."
    found = shutil.which("ssh")
    if found is None:
        yield Check("local ssh", "failed", "not there", install)
    else:
        yield Check("local ssh", "ok", found)
    text = ""
    if shutil.which("rsync") is not None:
        try:
            done = subprocess.run(
                ["rsync", "--version"],  # noqa: S607 - found by PATH, as ssh is
                capture_output=True, timeout=20, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            text = done.stdout.decode("utf-8", "replace")
        except (OSError, subprocess.TimeoutExpired):
            text = "unknown"
    yield _rsync("local rsync", text, install)


def _script(base: str) -> str:
    probe = f".usr-doctor-{secrets.token_hex(6)}"
    return f"""\
word() {{ printf '%s\\0' "$*"; }}
try() {{
  name=$1
  shift
  if "$@" >/dev/null 2>&1; then word "$name" yes; else word "$name" no; fi
}}
first() {{ name=$1; shift; word "$name" "$("$@" 2>/dev/null | head -n 1)"; }}
word clock "$(date +%s.%N)"
first rsync rsync --version
first find find --version
first stat stat --version
first sha256sum sha256sum --version
first awk awk 'BEGIN {{ print "awk" }}'
try flock command -v flock
try python3 command -v python3
try pyarrow python3 -c 'import pyarrow.parquet'
if cd -P -- {quote(base)} 2>/dev/null; then
  word base yes
  word free "$(df -P -k . | awk 'NR == 2 {{ print $4 }}')"
  if mkdir -- {probe} 2>/dev/null; then
    word write yes
    : >{probe}/a
    try link ln -T -- {probe}/a {probe}/b
    if ln -T -- {probe}/a {probe}/b 2>/dev/null; then word exclusive no; else word exclusive yes; fi
    try lock sh -c 'exec 9>>{probe}/a && flock -n 9'
    rm -rf -- {probe}
  else
    word write no
  fi
else
  word base no
fi
at=done
"""


def _facts(out: bytes) -> dict[str, str]:
    found = {}
    for record in out.split(b"\0")[:-1]:
        tag, _, value = record.decode("utf-8", "replace").partition(" ")
        found[tag] = scripts.CONTROL.sub("", value)
    return found


def _there(remote: Remote, facts: Mapping[str, str], begun: float, ended: float) -> Iterator[Check]:
    """Judge what the script found."""
    yield Check("ssh", "ok", f"{remote.user}@{remote.host}")
    yield _rsync("rsync", facts.get("rsync", ""), "Install rsync there, or ask its admins.")
    for tool in ("find", "stat", "sha256sum"):
        version = facts.get(tool, "")
        gnu = "GNU" in version
        fix = None if gnu else "GNU findutils and coreutils are needed there, first in PATH."
        yield Check(tool, "ok" if gnu else "failed", version[:80] or "not there", fix)
    has_awk = facts.get("awk") == "awk"
    yield Check("awk", "ok" if has_awk else "failed", "there" if has_awk else "not there",
                None if has_awk else "Install awk there.")  # fmt: skip
    yield from _folder(remote, facts)
    yield _clock(facts.get("clock", ""), begun, ended)
    yield _pyarrow(facts)


def _folder(remote: Remote, facts: Mapping[str, str]) -> Iterator[Check]:
    if facts.get("base") != "yes":
        yield Check(
            "base_dir", "failed", f"{remote.base_dir} is not there or not accessible",
            f"Create it there: mkdir -p {remote.base_dir}; or correct the remotes file.",
        )  # fmt: skip
        return
    yield Check("base_dir", "ok", remote.base_dir)
    if facts.get("write") != "yes":
        yield Check("write", "failed", "no permission to write in base_dir",
                    "You can pull; to push, get write permission there.")  # fmt: skip
        return
    yield Check("write", "ok", "base_dir is writable")
    works = facts.get("link") == "yes" and facts.get("exclusive") == "yes"
    yield Check(
        "link", "ok" if works else "failed",
        "hard links work" if works else "hard links do not work in base_dir",
        None if works else "Commits need them: use another file system for base_dir.",
    )  # fmt: skip
    locks = facts.get("lock") == "yes"
    has = "flock is not there" if facts.get("flock") != "yes" else "flock does not work there"
    yield Check(
        "flock", "ok" if locks else "warning", "locks work" if locks else has,
        None if locks else "Slots still decide, so nothing is lost; writers may have to retry.",
    )  # fmt: skip
    free = int(facts["free"]) * 1024 if facts.get("free", "").isdigit() else None
    few = free is not None and free < FEW_BYTES
    yield Check(
        "free space", "warning" if few else "ok",
        "unknown" if free is None else _space(free),
        "Free space there before you push." if few else None,
    )  # fmt: skip


def _space(free: int) -> str:
    """Return free bytes for people."""
    return f"{free >> 20:,} MiB" if free < 1 << 30 else f"{free / (1 << 30):,.1f} GiB"


def _clock(text: str, begun: float, ended: float) -> Check:
    try:
        there = float(text)
    except ValueError:
        return Check("clock", "warning", "not told", "GNU date is expected there.")
    # Somewhere between question and answer: a slow connection is no wrong clock.
    off = max(begun - there, there - ended, 0.0)
    if off <= MAX_CLOCK_S:
        return Check("clock", "ok", f"{off:.1f} s apart")
    return Check(
        "clock", "warning", f"{off:.0f} s apart",
        "Set both clocks by NTP: on equal changes of both sides the later one wins.",
    )  # fmt: skip


def _pyarrow(facts: Mapping[str, str]) -> Check:
    if facts.get("pyarrow") == "yes":
        return Check("pyarrow", "ok", "there: --verify parquet works")
    what = "pyarrow" if facts.get("python3") == "yes" else "python3"
    return Check(
        "pyarrow", "warning", f"no {what} there",
        "Needed for --verify parquet only; --verify auto does without.",
    )  # fmt: skip
