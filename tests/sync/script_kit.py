"""Running our sh scripts in folders, with kills, and judging what they leave."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.dataset.kit import IDS, new_dataset, new_root
from usr_nb import Dataset
from usr_nb.contract.events import Fingerprint, build_event, env_actor
from usr_nb.contract.times import to_text, utc_now
from usr_nb.storage.intents import Append, Install, Intent, Retire, new_operation_id
from usr_nb.storage.layout import Layout
from usr_nb.sync import commit_scripts, scripts
from usr_nb.sync.model import Entry
from usr_nb.sync.scripts import Answer

#: Counts simple commands, in functions and subshells too, and kills the shell before the nth.
BOMB = """\
set -T
usr_n=0
trap 'usr_n=$((usr_n + 1)); if [ "$usr_n" -ge {at} ]; then kill -9 $$; fi' DEBUG
"""
COUNTING = """\
set -T
usr_n=0
trap 'usr_n=$((usr_n + 1))' DEBUG
"""


def run(
    body: str, *, shell: str = "dash", env: dict[str, str] | None = None, before: str = "",
    after: str = "",
) -> tuple[Answer | None, str]:  # fmt: skip
    """Run a script as ssh would; the answer is None if it was killed. All its children end too."""
    nonce = "0123456789abcdef"
    text = before + scripts.framed(body, nonce) + after
    process = subprocess.Popen(
        [*shell.split(), "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, **(env or {})}, start_new_session=True,
    )  # fmt: skip
    out, err = process.communicate(text.encode(), timeout=60)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    began, answer = scripts.parse_answer(out, nonce)
    assert began or process.returncode, err
    return answer, err.decode(errors="replace")


def done(body: str, *, shell: str = "dash", env: dict[str, str] | None = None) -> Answer:
    """Run a script that must succeed."""
    answer, err = run(body, shell=shell, env=env)
    assert answer is not None, err
    assert (answer.code, answer.at) == (0, "done"), (answer, err)
    return answer


def entry(folder: Path, path: str) -> Entry:
    st = (folder / path).stat()
    return Entry(path, st.st_size, None, st.st_ino, st.st_mtime_ns, path)


def retire(folder: Path, path: str, to: str | None) -> Retire:
    e = entry(folder, path)
    return Retire(path, to, e.inode, e.size, e.mtime_ns)


def event(action: str, intent: Intent) -> dict[str, Any]:
    found = build_event(
        action=action, at=to_text(utc_now()), dataset="ns/demo", root="/r", args={"by": "a 'test'"},
        metrics={}, artifacts={}, maintenance={}, fingerprint=Fingerprint(0, 0, 0).as_plain(),
        registry_hash=None, actor=env_actor(None, None, "host", 1), version="0",
    )  # fmt: skip
    found["artifacts"] = {"operation_id": intent.operation_id}
    return found


def new_intent(action: str = "push") -> Intent:
    intent = Intent(new_operation_id(), action, to_text(utc_now()), "push-far-0-1-0")
    intent.events.append(event(action, intent))
    return intent


@dataclass
class Push:
    """A push that is ready to be installed, and what it will have done."""

    folder: Path
    intent: Intent
    slot: int
    was: dict[str, Entry | None]
    came: dict[str, bytes]
    gone: dict[str, str | None]
    lines: bytes = b""

    def stage(self, shell: str = "dash") -> None:
        """Lay the files into the incoming folder and run the stage script."""
        incoming = self.folder / "_txn/incoming-1"
        sources = {}
        for item in self.intent.install:
            at = incoming / item.path
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(self.came[item.path])
            sources[item.staged] = item.path
        if self.lines:
            (incoming / "lines").write_bytes(self.lines)
            sources["a0"] = "lines"
        text = commit_scripts.stage_script(
            str(self.folder), self.intent, incoming="_txn/incoming-1", sources=sources
        )
        found = scripts.parse_digests(done(text, shell=shell).out)
        staged = [*self.intent.install, *self.intent.append]
        assert found == {i.staged: i.sha256 for i in staged}

    def script(self, **options: Any) -> str:
        return commit_scripts.install_script(
            str(self.folder), self.intent, slot=self.slot, was=self.was,
            incoming="_txn/incoming-1", **options,
        )  # fmt: skip


def push(
    folder: Path, came: dict[str, bytes], gone: dict[str, str | None], lines: bytes = b""
) -> Push:
    """Describe a push: files that come (by path), files that go (path -> where to), log lines."""
    layout = Layout(folder)
    numbers = [int(p.name[5:]) for p in layout.txn.glob("slot-*")]
    intent = new_intent()
    for n, (path, data) in enumerate(came.items()):
        digest = hashlib.sha256(data).hexdigest()
        intent.install.append(Install(path, f"f{n}", len(data), digest))
    if lines:
        intent.txn_version = 2
        digest = hashlib.sha256(lines).hexdigest()
        intent.append.append(Append(".events.log", "a0", len(lines), digest))
    intent.retire += [retire(folder, path, to) for path, to in gone.items()]
    intent.notes.append(
        {"at": intent.created_at, "title": "received by push from $(hostname) 'x'",
         "command": "usr push ns/demo lab -y # `touch canary`"}
    )  # fmt: skip
    was = {p: entry(folder, p) if (folder / p).exists() else None for p in [*came, *gone]}
    return Push(folder, intent, max(numbers, default=0), was, came, gone, lines)


def example(root: Path) -> Dataset:
    """A dataset with a base, three parts, a single file and a file of another tool."""
    new_root(root)
    ds = new_dataset(root)
    for n in range(3):
        ds.write_overlay_part("m", pa.table({"id": IDS[:2], "m__n": [float(n), 2.0]}))
    with ds.maintenance(reason="test"):
        ds.compact_overlay("m", single_file=True)
    for n in range(2):
        ds.write_overlay_part("k", pa.table({"id": IDS[:2], "k__x": [float(n), 2.0]}))
    (ds.dir / "notes.txt").write_text("mine\n")
    return ds


def usual_push(ds: Dataset) -> Push:
    """A push that adds, replaces, archives and retires, with names that bite."""
    parts = sorted(p.relative_to(ds.dir).as_posix() for p in ds.dir.glob("_derived/k/part-*"))
    came = {
        "notes.txt": b"theirs\n",
        "plots/$(touch canary) `touch canary`; 'a' \"b\" é.txt": b"x" * 70_000,
        "-rf": b"dash\n",
        "_derived/k/part-20300101T000000000000Z-" + "0" * 32 + ".parquet": (
            ds.dir / parts[1]
        ).read_bytes(),
    }
    gone = {parts[0]: f"_derived/_archived/k/20300101T000000000000Z/{Path(parts[0]).name}",
            "_derived/m.parquet": None}  # fmt: skip
    known = (ds.dir / ".events.log").read_bytes().splitlines(keepends=True)
    theirs = [
        json.dumps({"action": "attach", "artifacts": {"operation_id": f"far-{n}"}, "q": "'$(x)\\"})
        for n in range(3)
    ]
    lines = [known[1], *[line.encode() + b"\n" for line in theirs], known[0]]
    return push(ds.dir, came, gone, b"".join(lines))


def far_lines(folder: Path) -> list[str]:
    """The operations of the other copy's lines in the log, in order."""
    data = (folder / ".events.log").read_bytes()
    found = [json.loads(line)["artifacts"].get("operation_id") for line in data.splitlines()]
    return [op for op in found if op and op.startswith("far-")]


# What a folder says -----------------------------------------------------------------------------


def files_of(folder: Path) -> dict[str, str]:
    """Path -> digest of all files but the machinery's, the log and the notes."""
    aside = {"_txn", ".usr.lock", ".events.log", "meta.md"}
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.relative_to(folder).parts[0] not in aside
    }


def lines_of(folder: Path, operation_id: str) -> list[str]:
    """The actions that the log tells of an operation; every line must be whole."""
    data = (folder / ".events.log").read_bytes()
    assert data.endswith(b"\n")
    events = [json.loads(line) for line in data.splitlines()]
    return [e["action"] for e in events if e["artifacts"].get("operation_id") == operation_id]


def after(push: Push, before: dict[str, str]) -> dict[str, str]:
    """Return the files as they are once the push is installed."""
    found = dict(before)
    for path, to in push.gone.items():
        digest = found.pop(path)
        if to is not None:
            found[to] = digest
    return found | {p: hashlib.sha256(d).hexdigest() for p, d in push.came.items()}


def hard_copy(source: Path, target: Path) -> None:
    """Copy a folder by links, so that inodes stay; what is appended to is copied for real."""
    for folder, _, names in os.walk(source):
        there = target / Path(folder).relative_to(source)
        there.mkdir(parents=True)
        for name in names:
            if name in (".events.log", "meta.md", ".usr.lock", "holder"):
                (there / name).write_bytes((Path(folder) / name).read_bytes())
            else:
                os.link(Path(folder) / name, there / name)


def pieces(folder: Path) -> list[str]:
    """Return what a finished operation must not leave in ``_txn``."""
    return sorted(
        p.name for p in (folder / "_txn").iterdir()
        if not re.match(r"slot-|retired$|holder$|checked$", p.name)
    )  # fmt: skip
