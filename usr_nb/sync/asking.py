"""What came of a push: from what this copy remembers, or from the remote's own log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Any, Final, Literal

from usr_nb.errors import ValidationError
from usr_nb.storage import door
from usr_nb.storage.layout import EVENTS, LOCK, TXN
from usr_nb.sync import scripts
from usr_nb.sync.common import COMMON_FILE
from usr_nb.sync.look import Here
from usr_nb.sync.remotes import get
from usr_nb.sync.ssh import Session

#: Stands in ``_txn/remotes/<name>/`` while a push is under way; holds the token of its plan.
PUSHING: Final = "pushing"
_TOKEN: Final = re.compile(r"[0-9a-f]{1,64}\Z", re.ASCII)
_MOST: Final = 64 << 20


def begun_plan(path: Path) -> str | None:
    """Return the token of the push that a file ``pushing`` tells of; None if it tells none."""
    data = _bytes(path, 64)
    return data.decode("ascii", "replace").strip() or None if data is not None else None


def remembered(here: Here, token: str) -> Iterator[tuple[Literal["done", "begun"], str, Any]]:
    """Say what this copy remembers of a push: the remote, and for one that is done its meeting.

    Of each remote the last push that succeeded is remembered, and the last that was begun. Nothing
    is asked over the network.
    """
    folder = here.dir / TXN / "remotes"
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        meeting = _meeting(place / COMMON_FILE)
        if meeting.get("plan") == token:
            yield "done", place.name, meeting
        elif begun_plan(place / PUSHING) == token:
            yield "begun", place.name, {}


def _meeting(path: Path) -> Mapping[str, Any]:
    data = _bytes(path, _MOST)
    try:
        plain = json.loads(data or b"{}")
    except ValueError:
        return {}
    return plain if isinstance(plain, dict) else {}


def _bytes(path: Path, most: int) -> bytes | None:
    try:
        if door.is_regular(path) and path.stat().st_size <= most:
            return path.read_bytes()
    except OSError:
        pass
    return None


def told_there(here: Here, remote: str, token: str) -> list[Mapping[str, Any]]:
    """Ask a remote for the events of its copy that name a plan. Nothing is written there.

    Where there is ``flock`` it waits until nobody installs there, at most a minute.

    Raises
    ------
    ValidationError
        If it is no token.
    RemoteUnavailableError, TransferError, LockTimeout
        If nothing can be said.
    """
    if not _TOKEN.match(token):
        raise ValidationError(f"{token[:40]!r} is not the token of a plan")
    found = get(remote)
    with Session(found) as session:
        out = session.run(told_script(found.base_dir, here.name, token), stage="asking")
    return [e for line in out.splitlines() for e in _events(line)]


def _events(line: bytes) -> list[Mapping[str, Any]]:
    try:
        plain = json.loads(line)
    except ValueError:
        return []
    if not isinstance(plain, dict):
        return []
    # A slot holds its events; of a commit that nobody has told of they stand nowhere else.
    events = plain.get("events", [plain])
    return [e for e in events if isinstance(e, dict)] if isinstance(events, list) else []


def told_script(base_dir: str, dataset: str, token: str) -> str:
    """Return a script that prints the slots and the lines of the log that hold a plan's token."""
    folder = quote(scripts.plain_name(dataset))
    held = f"exec 9<{LOCK}\n  tries=0\n  until flock -s -n 9; do\n"
    return (
        f"cd -P -- {quote(scripts.folder_at(base_dir))} 2>/dev/null || "
        f"fail {scripts.NO_BASE} 'base_dir is not there'\n"
        f"if cd -P -- {folder} 2>/dev/null; then\n"
        f"if [ -r {LOCK} ] && command -v flock >/dev/null 2>&1; then\n  {held}"
        f"    [ \"$tries\" -lt 300 ] || fail {scripts.LOCKED} 'a writer is at work there'\n"
        "    tries=$((tries + 1))\n    sleep 0.2 || sleep 1\n  done\nfi\n"
        # The slots first: an event goes from there into the log, and never back.
        f"for s in {TXN}/slot-{scripts.DIGITS} {EVENTS}; do\n"
        f'  if [ -f "$s" ]; then grep -F -h -e {quote(token)} -- "$s" || [ "$?" = 1 ]; fi\n'
        "done\nfi\nat=done\n"
    )
