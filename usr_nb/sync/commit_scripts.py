"""``sh`` scripts that commit at a remote, where there is no Python: pure texts.

What :mod:`usr_nb.storage.slots` does here is said there in ``sh``, GNU ``find`` and coreutils: the
same order, the same checks, and like it safe to be killed at any line and run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from shlex import quote
from typing import Any, Final

from usr_nb.contract.events import encode_event
from usr_nb.contract.times import to_text, utc_now
from usr_nb.storage.intents import INTENT_FILE, KEEP_SLOTS, OWNER_FILE, Append, Install, Intent
from usr_nb.storage.layout import EVENTS, LOCK, META, RETIRED
from usr_nb.storage.notes import note_text
from usr_nb.sync.model import Entry
from usr_nb.sync.scripts import (
    DIGITS,
    LOCKED,
    NO_BASE,
    REFUSED,
    SLOTS,
    STALE,
    UNFINISHED,
    digest_lines,
    go_to,
    here_document,
    mtime_text,
    plain_name,
)

_PIECE: Final = 16 << 20
_MANY: Final = 32

_CHECKS: Final = f"""\
flush() {{ sync -- "$@" 2>/dev/null || sync; }}
take_lock() {{
  command -v flock >/dev/null 2>&1 || return 0
  [ -w . ] || fail {REFUSED} "no permission to write in $(pwd)"
  exec 9>>{LOCK}
  tries=0
  while :; do
    rc=0
    flock -n 9 || rc=$?
    [ "$rc" = 1 ] || break
    if [ "$tries" -ge "$1" ]; then
      fail {LOCKED} "$(head -c 300 _txn/holder 2>/dev/null | tr -cd '[:print:]')"
    fi
    tries=$((tries + 1))
    sleep 0.2 || sleep 1
  done
  printf '{{"pid": %s, "host": "%s", "since": "%s", "action": "%s"}}' "$$" "$(uname -n | tr -cd 'A-Za-z0-9.-')" "$(date -u +%Y-%m-%dT%H:%M:%S.000000Z)" "$2" 2>/dev/null >_txn/holder || :
}}
same() {{ [ "$(stat -c '%i %s %.9Y' -- "$4" 2>/dev/null)" = "$1 $2 $3" ]; }}
unchanged() {{ same "$@" || fail {STALE} "$4 changed meanwhile"; }}
absent() {{
  if [ -e "$1" ] || [ -L "$1" ]; then fail {STALE} "$1 appeared meanwhile"; fi
}}
solid() {{
  [ ! -L "$1" ] || fail {REFUSED} "$1 is a symbolic link"
  if [ -d "$1" ]; then
    [ "$(stat -c %d -- "$1")" = "$(stat -c %d -- _txn)" ] ||
      fail {REFUSED} "$1 is on another file system"
  elif [ -e "$1" ]; then
    fail {REFUSED} "$1 is not a folder"
  fi
}}
"""  # noqa: E501 - shell

_FINISH: Final = f"""\
put() {{
  [ -e "_txn/$op/$1" ] || return 0
  mv -f -T -- "_txn/$op/$1" "$2" || [ ! -e "_txn/$op/$1" ]
}}
folder() {{
  [ -d "$1" ] || {{
    mkdir -p -- "$1"
    flush "$(dirname -- "$1")"
  }}
}}
take() {{
  same "$1" "$2" "$3" "$4" || return 0
  mv -f -T -- "$4" "$5" || [ ! -e "$4" ]
  [ -e "$5" ] || return 0
  if ! same "$1" "$2" "$3" "$5"; then
    ln -T -- "$5" "$4" || [ -e "$4" ]
    rm -f -- "$5"
  fi
}}
is_torn() {{ [ -s "$1" ] && [ -n "$(tail -c 1 -- "$1")" ]; }}
spill() {{
  dd if="$1" of="$2" bs="$3" count=1 \\
    iflag=fullblock oflag=append conv=notrunc,fsync status=none
}}
pour() {{
  if is_torn "$2" && sleep 0.05 && is_torn "$2"; then
    {{ echo; cat -- "$1"; }} >"$1.closed"
    mv -f -T -- "$1.closed" "$1"
  fi
  size=$(($(wc -c <"$1")))
  if [ "$size" -le {_PIECE} ]; then
    spill "$1" "$2" "$size"
    return
  fi
  split -C {_PIECE} -a 4 -- "$1" "$1.piece."
  for piece in "$1".piece.*; do
    spill "$piece" "$2" {_PIECE}
  done
  rm -f -- "$1".piece.*
}}
whole_lines() {{
  if is_torn "$1"; then sed '$d' "$1"; elif [ -e "$1" ]; then cat -- "$1"; fi
}}
add_lines() {{
  [ -s "$1" ] || return 0
  whole_lines "$2" | awk '
    NR == FNR {{ if (!($0 in n)) {{ n[$0] = ++c; l[c] = $0 }} next }}
    $0 in n {{ delete l[n[$0]] }}
    END {{ for (i = 1; i <= c; i++) if (i in l) print l[i] }}' "$1" - >"_txn/$op/new.$$"
  if [ -s "_txn/$op/new.$$" ]; then pour "_txn/$op/new.$$" "$2"; fi
}}
add_note() {{
  cat >"_txn/$op/new.$$"
  if [ -f {META} ] && grep -F -x -q -e "$1" -- {META}; then return 0; fi
  pour "_txn/$op/new.$$" {META}
}}
prune() {{
  set -- _txn/slot-{DIGITS}
  while [ "$#" -gt {KEEP_SLOTS} ]; do
    rm -f -- "$1"
    shift
  done
}}
"""


def _parents(paths: Iterable[str]) -> list[str]:
    """Return all folders above the paths, outer ones first."""
    found = {str(p): len(p.parts) for path in paths for p in PurePosixPath(path).parents}
    return sorted((p for p in found if p != "."), key=lambda p: (found[p], p))


def _direct(paths: Iterable[str]) -> list[str]:
    return sorted({str(PurePosixPath(p).parent) for p in paths})


def _flush(folders: Iterable[str]) -> str:
    names = " ".join(map(quote, folders))
    return f"flush {names}\n" if names else ""


# An intent, finished ----------------------------------------------------------------------------


def _retired_to(intent: Intent) -> dict[str, str]:
    aside = f"_txn/{RETIRED}/{intent.operation_id}"
    return {r.path: r.to or f"{aside}/{r.path.replace('/', '+')}" for r in intent.retire}


def _staged(intent: Intent) -> list[Install | Append]:
    return [*intent.install, *intent.append]


def _names_of(intent: Intent) -> list[str]:
    names = [p for i in _staged(intent) for p in (i.path, i.staged)]
    return names + [p for r in intent.retire for p in (r.path, r.to) if p] + list(intent.drop)


def _solid(intent: Intent) -> str:
    """Return checks that no change leads through a link or to another file system."""
    folders = ["_txn"]
    paths = [i.path for i in _staged(intent)]
    paths += [r.path for r in intent.retire] + list(_retired_to(intent).values()) + intent.drop
    folders += [d for d in _parents(paths) if d != "_txn"]
    return "".join(f"solid {quote(d)}\n" for d in folders)


def _finish(intent: Intent, *, recovering: bool) -> str:
    """Return what :func:`usr_nb.storage.slots.roll_forward` does, in its order."""
    to = _retired_to(intent)
    installed = [i.path for i in intent.install]
    lines = [f"folder {quote(d)}" for d in _parents([*installed, *to.values()])]
    lines += [f"put {quote(i.staged)} {quote(i.path)}" for i in intent.install]
    text = "\n".join(lines) + "\n" + _flush(_direct(installed))
    for r in intent.retire:
        seen = f"{r.inode} {r.size} {mtime_text(r.mtime_ns)}"
        text += f"take {seen} {quote(r.path)} {quote(to[r.path])}\n"
    text += _flush(_direct([*to, *to.values()]))
    text += "".join(f"rm -f -- {quote(p)}\n" for p in intent.drop) + _flush(_direct(intent.drop))
    # Tells of files in order: lines that came along, then our own.
    text += _words(intent)
    events: list[Mapping[str, Any]] = list(intent.events)
    if events:
        text += _event_lines(events)
    if events and recovering:
        told = f'grep -F -e \'"action":"recovered"\' -- {EVENTS} 2>/dev/null'
        text += (
            f'if ! {told} | grep -F -q -e \'"operation_id":"{intent.operation_id}"\'; then\n'
            f"{_event_lines([_recovered(intent)])}fi\n"
        )
    return text + 'rm -rf -- "_txn/$op"\n'


def _words(intent: Intent) -> str:
    text = ""
    for note in intent.notes:
        body = note_text(note).encode("utf-8", "backslashreplace").decode()
        opening, rest = here_document(body)
        text += f"add_note {quote(body.partition(chr(10))[0])} {opening}\n{rest}"
    lines = [f'add_lines "_txn/$op/"{quote(a.staged)} {quote(a.path)}\n' for a in intent.append]
    return text + "".join(lines)


def _event_lines(events: Iterable[Mapping[str, Any]]) -> str:
    opening, rest = here_document("".join(encode_event(e).decode() for e in events))
    return f'cat >"_txn/$op/lines.$$" {opening}\n{rest}add_lines "_txn/$op/lines.$$" {EVENTS}\n'


def _recovered(intent: Intent) -> dict[str, Any]:
    return {
        **intent.events[0],
        "action": "recovered",
        "timestamp_utc": to_text(utc_now()),
        "args": {"action": intent.action},
        "metrics": {},
        "artifacts": {"operation_id": intent.operation_id},
    }


# Scripts ----------------------------------------------------------------------------------------


def settle_script(folder: str, intent: Intent, *, wait_s: float = 60) -> str:
    """Return a script that finishes a commit whose writer died, whoever that was.

    Parameters
    ----------
    folder : str
        The dataset (or root) there.
    intent : Intent
        From the highest slot. If another commit has come since, or this one was finished
        meanwhile, the script does nothing.
    wait_s : float
        How long it waits for the lock, in seconds.
    """
    for name in _names_of(intent):
        plain_name(name)
    return (
        SLOTS + _CHECKS + _FINISH + go_to(folder) + f"op={intent.operation_id}\n"
        'if [ -d "_txn/$op" ]; then\n'
        f"take_lock {int(wait_s * 5)} settle\n"
        'highest\noperation "$top"\n'
        f'if [ "$found" = "$op" ] && [ -d "_txn/$op" ]; then\n{_solid(intent)}at=committed\n'
        f"{_finish(intent, recovering=True)}fi\nfi\nat=done\n"
    )


def prepare_script(base: str, dataset: str, incoming: str) -> str:
    """Return a script that makes the folder where a push lies until it is whole.

    Parameters
    ----------
    base : str
        The root there, which must exist (:func:`usr_nb.sync.scripts.folder_at`).
    dataset : str
        The id below it; its folder is created if it is not there.
    incoming : str
        Relative to the dataset, below ``_txn/``. Files in it that are already used elsewhere (an
        earlier push linked them) are unlinked, so that rsync cannot touch them.
    """
    into, name = quote(plain_name(incoming)), quote(plain_name(dataset))
    return (
        f"cd -P -- {quote(base)} 2>/dev/null || fail {NO_BASE} 'base_dir is not there'\n"
        f"mkdir -p -- {name} || fail {REFUSED} 'cannot create the dataset folder'\n"
        f"cd -P -- {name}\n[ ! -L _txn ] || fail {REFUSED} '_txn is a symbolic link'\n"
        f"mkdir -p -- {into} || fail {REFUSED} 'cannot write into the dataset folder'\n"
        f"find {into} -type f -links +1 -exec rm -f -- {{}} +\nat=done\n"
    )


def clear_script(folder: str, incoming: str) -> str:
    """Return a script that removes what a push sent and nobody needs any more."""
    into = quote(plain_name(incoming))
    return f"{go_to(folder)}[ -L _txn ] || rm -rf -- {into}\nat=done\n"


def _flush_all(folder: str, number: int) -> str:
    """Return a line that syncs all files of a folder; many at once by the whole file system."""
    each = f"find {folder} -type f -print0 | xargs -0 sync -- 2>/dev/null || sync\n"
    return each if number < _MANY else f"sync -f -- {folder} 2>/dev/null || {each}"


def stage_script(
    folder: str,
    intent: Intent,
    *,
    incoming: str,
    sources: Mapping[str, str],
    copies: Mapping[str, str] | None = None,
) -> str:
    """Return a script that links what came into the operation's folder and prints its digests.

    Parameters
    ----------
    folder : str
        The dataset there.
    intent : Intent
        Its ``install`` and ``append`` name the staged files.
    incoming : str
        Where the files lie now, relative to the dataset.
    sources : mapping of str to str
        Staged name (``f0``) → path below `incoming`.
    copies : mapping of str to str, optional
        Staged name → file of the dataset there, to be copied: what loses a conflict is kept so.
    """
    at = f"_txn/{intent.operation_id}"
    staged = [i.staged for i in _staged(intent)]
    lines = "".join(
        f"ln -T -- {quote(f'{incoming}/{plain_name(sources[s])}')} {quote(f'{at}/{s}')}\n"
        for s in staged
        if s in sources
    )
    lines += "".join(
        f"cp -- {quote(f'./{plain_name(path)}')} {quote(f'{at}/{s}')}\n"
        for s, path in (copies or {}).items()
    )
    return (
        f"{_CHECKS}{go_to(folder)}mkdir -- {at}\n"
        f"printf %s {quote(intent.owner)} >{at}/{OWNER_FILE}\n{lines}"
        f"{_flush_all(at, len(staged))}flush {at}\n"
        f"cd -- {at}\n{digest_lines(staged)}at=done\n"
    )


def install_script(
    folder: str,
    intent: Intent,
    *,
    slot: int,
    was: Mapping[str, Entry | None],
    incoming: str | None = None,
    wait_s: float = 60,
    inline: Mapping[str, bytes] | None = None,
    digests: Mapping[str, str | None] | None = None,
) -> str:
    """Return the script that commits an intent and installs it.

    Parameters
    ----------
    folder : str
        The dataset (or root) there; its files lie staged already (:func:`stage_script`).
    intent : Intent
        What to do, with events and notes filled in.
    slot : int
        The highest slot that the plan was made from; any other is :data:`STALE`.
    was : mapping of str to Entry or None
        Files that must be as the plan saw them (inode, size, time), None: not there.
    incoming : str, optional
        A folder to remove in the end, relative to the dataset.
    wait_s : float
        How long it waits for the lock, in seconds.
    inline : mapping of str to bytes, optional
        Small text files to stage here and now: staged name → content.
    digests : mapping of str to str or None, optional
        Files whose SHA-256 must be this one, None: not there.

    Notes
    -----
    The answer's ``at`` tells how far it came: before ``committed`` nothing has changed; from then
    on the change is made, and whoever writes next finishes it.
    """
    for name in (*_names_of(intent), *was, *(digests or {})):
        plain_name(name)
    encoded = intent.encode()
    opening, rest = here_document(encoded.decode("ascii"))
    new = f"{slot + 1:012d}"
    text = SLOTS + _CHECKS + _FINISH + go_to(folder)
    # Once begun it goes on to the end, also when the connection is lost.
    text += (
        f"trap '' HUP PIPE\nmkdir -p -- _txn\ntake_lock {int(wait_s * 5)} {quote(intent.action)}\n"
    )
    text += _settled(slot) + f"op={intent.operation_id}\n" + _inline(intent, inline or {})
    for item in _staged(intent):
        text += (
            f'[ -f "_txn/$op/"{quote(item.staged)} ] || fail {STALE} "the staged files are gone"\n'
        )
    text += _as_seen(was, digests or {}) + _solid(intent)
    text += (
        f'cat >"_txn/$op/{INTENT_FILE}" {opening}\n{rest}'
        f'[ "$(($(wc -c <"_txn/$op/{INTENT_FILE}")))" = {len(encoded) + 1} ] || '
        f"fail {REFUSED} 'the intent was not written whole'\n"
        f'flush "_txn/$op/{INTENT_FILE}" "_txn/$op" _txn\n'
        f'if ! ln -T -- "_txn/$op/{INTENT_FILE}" _txn/slot-{new} 2>/dev/null; then\n'
        f"  [ -e _txn/slot-{new} ] || fail {REFUSED} 'hard links do not work there'\n"
        f'  cmp -s -- "_txn/$op/{INTENT_FILE}" _txn/slot-{new} || '
        f"fail {STALE} 'another writer committed first'\nfi\n"
        f'highest\nif [ "$top" != {new} ] && [ -e "_txn/$op/{INTENT_FILE}" ]; then\n'
        f"  rm -f -- _txn/slot-{new}\n  fail {STALE} 'many writers committed first'\nfi\n"
        "at=committed\nflush _txn\n"
    )
    text += _finish(intent, recovering=False) + "prune\n"
    if incoming is not None:
        text += f"rm -rf -- {quote(plain_name(incoming))}\n"
    return text + "at=done\n"


def _settled(slot: int) -> str:
    return (
        f'highest\n[ "$top" = {slot:012d} ] || fail {STALE} "another writer committed meanwhile"\n'
        'if [ "$top" != 000000000000 ]; then\n  operation "$top"\n'
        f'  [ -n "$found" ] || fail {REFUSED} "slot $top is not readable"\n'
        f'  [ ! -d "_txn/$found" ] || fail {UNFINISHED} "the last commit is not finished"\nfi\n'
    )


def _as_seen(was: Mapping[str, Entry | None], digests: Mapping[str, str | None]) -> str:
    text = ""
    for path, entry in was.items():
        if entry is None:
            text += f"absent {quote(path)}\n"
        else:
            when = mtime_text(entry.mtime_ns)
            text += f"unchanged {entry.inode} {entry.size} {when} {quote(path)}\n"
    for path, digest in digests.items():
        name = quote(path)
        if digest is None:
            text += f"absent {name}\n"
        else:
            text += (
                f'[ "$(sha256sum <{name} | cut -c 1-64)" = {digest} ] || '
                f'fail {STALE} {name}" changed meanwhile"\n'
            )
    return text


def _inline(intent: Intent, inline: Mapping[str, bytes]) -> str:
    if not inline:
        return ""
    text = f'mkdir -- "_txn/$op"\nprintf %s {quote(intent.owner)} >"_txn/$op/{OWNER_FILE}"\n'
    expected = {i.staged: i.sha256 for i in intent.install}
    for name, data in inline.items():
        # Octal escapes of printf would need no tool, but a here document shows what is written.
        opening, rest = here_document(data.decode("utf-8"))
        text += (
            f'cat >"_txn/$op/"{quote(name)} {opening}\n{rest}'
            f'[ "$(sha256sum <"_txn/$op/"{quote(name)} | cut -c 1-64)" = {expected[name]} ] || '
            f"fail {REFUSED} 'a file was not written as sent'\n"
            f'flush "_txn/$op/"{quote(name)}\n'
        )
    return text


def registry_script(
    root: str, intent: Intent, *, slot: int, content: bytes, old_sha256: str | None
) -> str:
    """Return a script that replaces the root's ``registry.yaml`` there through its slot.

    Parameters
    ----------
    root : str
        The folder of datasets there.
    intent : Intent
        Installs ``registry.yaml`` from ``f0``, and nothing else.
    slot : int
        The root's highest slot as it was seen.
    content : bytes
        The new text, ending in a newline.
    old_sha256 : str or None
        Of the text it was made from, looked at under the lock; None: there was none.
    """
    path = intent.install[0].path
    return install_script(
        root, intent, slot=slot, was={}, inline={"f0": content}, digests={path: old_sha256}
    )


def committed_script(folder: str, operation_id: str) -> str:
    """Return a script that says whether an operation reached a slot, and if it is finished.

    It prints ``no``, ``unfinished`` or ``finished``: what to ask after a lost connection.
    """
    op = quote(operation_id)
    return (
        f"{go_to(folder)}if ! cat -- _txn/slot-{DIGITS} 2>/dev/null | grep -F -q -e "
        f'"\\"operation_id\\":\\""{op}; then echo no\n'
        f"elif [ -d _txn/{op} ]; then echo unfinished\nelse echo finished\nfi\nat=done\n"
    )
