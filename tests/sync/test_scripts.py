"""The sh scripts in folders of this machine: what they do, and what a kill leaves (RCV, SYN-5)."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.crash.verdict import no_lock
from tests.dataset.kit import IDS
from tests.sync import script_kit as kit
from usr_nb import Dataset, StorageError
from usr_nb.storage import door, slots
from usr_nb.storage.layout import Layout
from usr_nb.sync import commit_scripts, scripts

SHELLS = ["dash", "bash --posix", pytest.param("busybox sh", marks=pytest.mark.needs("busybox"))]


@pytest.fixture(params=SHELLS)
def shell(request) -> str:
    return request.param


@pytest.fixture
def ds(ram: Path) -> Dataset:
    return kit.example(ram / "root")


def test_SYN_5_install_does_what_the_intent_says(shell: str, ds: Dataset):
    push = kit.usual_push(ds)
    before = kit.files_of(ds.dir)
    push.stage(shell)
    assert kit.files_of(ds.dir) == before, "staging shows nothing yet"
    kit.done(push.script(), shell=shell)
    assert kit.files_of(ds.dir) == kit.after(push, before)
    assert kit.lines_of(ds.dir, push.intent.operation_id) == ["push"]
    assert kit.far_lines(ds.dir) == ["far-0", "far-1", "far-2"]
    text = (ds.dir / "meta.md").read_text()
    assert text.count("received by push from $(hostname) 'x'") == 1
    assert "`touch canary`" in text
    assert kit.pieces(ds.dir) == []
    assert slots.highest_slot(Layout(ds.dir)) == push.slot + 1
    retired = ds.dir / "_txn/retired" / push.intent.operation_id
    assert [p.name for p in retired.iterdir()] == ["_derived+m.parquet"]
    assert not list(ds.dir.rglob("canary"))


def test_SYN_5_slot_written_by_sh_reads_like_any_other(ds: Dataset):
    push = kit.usual_push(ds)
    push.stage()
    kit.done(push.script())
    assert slots.read_slot(Layout(ds.dir), push.slot + 1) == push.intent


@pytest.mark.parametrize(
    ("disturb", "code"),
    [
        (lambda ds: ds.tombstone(IDS[:1]), scripts.STALE),
        (lambda ds: (ds.dir / "notes.txt").write_text("later\n"), scripts.STALE),
        (lambda ds: (ds.dir / "-rf").write_text("came first\n"), scripts.STALE),
        (lambda ds: shutil.rmtree(next(ds.dir.glob("_txn/*-*/f0")).parent), scripts.STALE),
        (lambda ds: (ds.dir / "plots").symlink_to("/tmp"), scripts.REFUSED),
    ],
    ids=["committed", "changed", "appeared", "staging-gone", "link"],
)
def test_SYN_5_install_refuses_what_is_not_as_planned(ds: Dataset, disturb: Any, code: int):
    push = kit.usual_push(ds)
    push.stage()
    disturb(ds)
    before = kit.files_of(ds.dir)
    answer, _ = kit.run(push.script())
    assert answer is not None
    assert (answer.code, answer.at) == (code, "begun")
    assert answer.said
    assert kit.files_of(ds.dir) == before
    assert kit.lines_of(ds.dir, push.intent.operation_id) == []


def test_SYN_5_install_waits_for_the_lock_and_names_its_holder(ds: Dataset):
    from usr_nb.storage import lock

    push = kit.usual_push(ds)
    push.stage()
    with lock.held(ds.dir, action="materialize"):
        answer, _ = kit.run(push.script(wait_s=0.4))
    assert answer is not None
    assert answer.code == scripts.LOCKED
    assert "materialize" in answer.said
    kit.done(push.script())


def test_SYN_5_script_cut_on_the_way_does_nothing(ds: Dataset):
    push = kit.usual_push(ds)
    push.stage()
    before = kit.files_of(ds.dir)
    whole = scripts.framed(push.script(), "0123456789abcdef")
    for cut in range(0, len(whole) - 30, 997):
        process = kit.subprocess.run(
            ["dash", "-s"], input=whole[:cut].encode(), capture_output=True, check=False
        )
        assert b"USR-BEGIN" not in process.stdout
    assert kit.files_of(ds.dir) == before
    assert slots.highest_slot(Layout(ds.dir)) == push.slot


# Kills -------------------------------------------------------------------------------------------


def commands(template: Path, ram: Path, push: kit.Push, body: str) -> int:
    """Count the simple commands of a script by running it to the end in a copy."""
    kit.hard_copy(template, ram / "count")
    tail = 'printf "USR-COUNT %s\\n" "$usr_n" >&2\n'
    body = body.replace(str(push.folder), str(ram / "count"))
    _, err = kit.run(body + tail, shell="bash", before=kit.COUNTING)
    return int(err.rpartition("USR-COUNT ")[2].split()[0])


def finished_by_python(ds: Dataset) -> None:
    ds.set_state(IDS[0], qc_status="pass")


def finished_by_script(ds: Dataset) -> None:
    _, intent = slots.pending(Layout(ds.dir))
    if intent is not None:
        kit.done(commit_scripts.settle_script(str(ds.dir), intent))
    second = kit.push(ds.dir, {"second.txt": b"2"}, {})
    second.stage()
    kit.done(second.script())


def killed_everywhere(ram: Path, *, step: int, offset: int) -> tuple[int, int]:
    """Kill the install script before every step-th command; return how many died before/after."""
    ds = kit.example(ram / "root")
    push = kit.usual_push(ds)
    before = kit.files_of(ds.dir)
    wanted = kit.after(push, before)
    push.stage()
    total = commands(ds.dir, ram, push, push.script())
    assert total > 100
    outcomes = [0, 0]
    for at in range(1 + offset, total + 1, step):
        root = ram / f"kill{at}"
        kit.hard_copy(ds.root, root)
        here = Dataset.open(root, "ns/demo")
        body = push.script().replace(str(ds.dir), str(here.dir))
        answer, _ = kit.run(body, shell="bash", before=kit.BOMB.format(at=at))
        assert answer is None, "the kill hit the script"
        committed = (here.dir / f"_txn/slot-{push.slot + 1:012d}").exists()
        outcomes[committed] += 1
        (finished_by_python if at % 2 else finished_by_script)(here)
        found = kit.files_of(here.dir)
        for extra in ("second.txt", "_derived/usr_state.parquet"):
            found.pop(extra, None)
        assert found == (wanted if committed else before), f"killed before command {at}"
        told = set(kit.lines_of(here.dir, push.intent.operation_id))
        assert told <= {"push", "recovered"}
        assert ("push" in told) == committed
        title = f"- {push.intent.created_at}: received by push from $(host"
        notes = (here.dir / "meta.md").read_text().count(title)
        assert notes == committed
        assert kit.far_lines(here.dir) == (["far-0", "far-1", "far-2"] if committed else [])
        for path, to in push.gone.items():
            if committed and to is None:
                flat = path.replace("/", "+")
                assert (here.dir / "_txn/retired" / push.intent.operation_id / flat).exists()
        assert slots.pending(Layout(here.dir))[1] is None
        shutil.rmtree(root)
    return outcomes[0], outcomes[1]


def test_RCV_2_kill_the_install_script_anywhere(ram: Path):
    before, after = killed_everywhere(ram, step=11, offset=0)
    assert before > 5
    assert after > 5


STATEMENT = re.compile(
    r"(put|take|flush|folder|rm|add_lines|at=|mkdir|take_lock|highest|solid|unchanged|absent|prune)"
)


def test_RCV_2_kill_between_the_statements_of_any_shell(shell: str, ram: Path):
    """The same without the help of bash: the statements of the script itself, one by one."""
    ds = kit.example(ram / "root")
    push = kit.usual_push(ds)
    before = kit.files_of(ds.dir)
    wanted = kit.after(push, before)
    push.stage(shell)
    lines = push.script().split("\n")
    begin = lines.index("trap '' HUP PIPE")
    spots = [n for n, line in enumerate(lines) if n >= begin and STATEMENT.match(line)]
    assert len(spots) > 30
    for n in spots[:: 3 if shell == "dash" else 9]:
        root = ram / f"{n}"
        kit.hard_copy(ds.root, root)
        here = Dataset.open(root, "ns/demo")
        body = "\n".join([*lines[: n + 1], "kill -9 $$", *lines[n + 1 :]])
        assert kit.run(body.replace(str(ds.dir), str(here.dir)), shell=shell)[0] is None
        committed = (here.dir / f"_txn/slot-{push.slot + 1:012d}").exists()
        slots.settle(Layout(here.dir))
        assert kit.files_of(here.dir) == (wanted if committed else before), lines[n]
        shutil.rmtree(root)


@pytest.mark.nightly
@pytest.mark.parametrize("offset", range(4))
def test_RCV_2_kill_the_install_script_before_every_command(ram: Path, offset: int):
    before, after = killed_everywhere(ram, step=4, offset=offset)
    assert before > 20
    assert after > 20


def test_RCV_2_kill_the_settle_script_and_run_it_again(ram: Path):
    ds = kit.example(ram / "root")
    push = kit.usual_push(ds)
    wanted = kit.after(push, kit.files_of(ds.dir))
    push.stage()
    # Stopped right behind the commit point.
    body = push.script().replace("at=committed\n", "at=committed\nkill -9 $$\n", 1)
    assert kit.run(body)[0] is None
    settle = commit_scripts.settle_script(str(ds.dir), push.intent)
    total = commands(ds.dir, ram, push, settle)
    for at in range(2, total + 1, 17):
        here = ram / f"settle{at}"
        kit.hard_copy(ds.dir, here)
        mine = settle.replace(str(ds.dir), str(here))
        assert kit.run(mine, shell="bash", before=kit.BOMB.format(at=at))[0] is None
        kit.done(mine)
        kit.done(mine)
        assert kit.files_of(here) == wanted
        assert kit.far_lines(here) == ["far-0", "far-1", "far-2"]
        assert {"push", "recovered"} == set(kit.lines_of(here, push.intent.operation_id))
        assert kit.pieces(here) == ["incoming-1"]


# What Python left, sh finishes --------------------------------------------------------------------


def changes(ds: Dataset, name: str) -> None:
    if name == "tombstone":
        ds.tombstone(IDS[1:3], reason="it's `bad`")
    elif name == "import":
        ds.add_sequences(["ACGTTTTTTT"], bio_type="dna", alphabet="dna_4")
    else:
        with ds.maintenance(reason="test"):
            ds.materialize(
                ["k"], keep_overlays=name == "archive", archive_overlays=name == "archive"
            )


class Dead(Exception):
    """Stands for the death of the process."""


@pytest.mark.parametrize("name", ["tombstone", "import", "materialize", "archive"])
def test_RCV_2_sh_finishes_what_a_dead_python_left(ram: Path, name: str, monkeypatch):
    """At each mutation after the commit point: what sh makes of it is what Python makes of it."""
    seen = 0
    real_roll = slots.roll_forward
    template = kit.example(ram / "template")
    for at in range(40):
        root = ram / f"{at}"
        kit.hard_copy(template.root, root)
        ds = Dataset.open(root, template.name)
        left = [at]

        def guard(real: Any, left: list[int] = left) -> Any:
            def call(*args: Any, **options: Any) -> Any:
                if left[0] < 0:
                    raise Dead
                left[0] -= 1
                if left[0] < 0:
                    raise Dead
                return real(*args, **options)

            return call

        def roll(layout: Layout, intent: slots.Intent, *, recovering: bool) -> None:
            with monkeypatch.context() as m:
                for call in ("rename", "link", "unlink", "append", "make_dirs", "remove_dir"):
                    m.setattr(door, call, guard(getattr(door, call)))
                real_roll(layout, intent, recovering=recovering)

        with monkeypatch.context() as m, pytest.MonkeyPatch.context():
            m.setattr(slots, "roll_forward", roll)
            try:
                changes(ds, name)
            except Dead:
                pass
            else:
                break
        _, intent = slots.pending(Layout(ds.dir))
        if intent is None:
            continue
        seen += 1
        twin = ram / f"{at}-twin"
        kit.hard_copy(ds.dir, twin)
        kit.done(commit_scripts.settle_script(str(ds.dir), intent))
        slots.settle(Layout(twin))
        assert kit.files_of(ds.dir) == kit.files_of(twin)
        assert (ds.dir / "meta.md").read_bytes() == (twin / "meta.md").read_bytes()
        op = intent.operation_id
        assert set(kit.lines_of(ds.dir, op)) == set(kit.lines_of(twin, op))
        assert slots.pending(Layout(ds.dir))[1] is None
        retired = sorted(p.name for p in (ds.dir / "_txn/retired").rglob("*"))
        assert retired == sorted(p.name for p in (twin / "_txn/retired").rglob("*"))
        shutil.rmtree(twin)
    assert seen >= 4
    ds.validate()


def test_RCV_2_settle_leaves_a_later_commit_alone(ds: Dataset):
    push = kit.usual_push(ds)
    push.stage()
    kit.done(push.script())
    ds.tombstone(IDS[:1])
    before = kit.files_of(ds.dir)
    kit.done(commit_scripts.settle_script(str(ds.dir), push.intent))
    assert kit.files_of(ds.dir) == before


def test_RCV_2_unfinished_slot_stops_the_install(ds: Dataset):
    push = kit.usual_push(ds)
    push.stage()
    body = push.script().replace("at=committed\n", "at=committed\nkill -9 $$\n", 1)
    assert kit.run(body)[0] is None
    text = commit_scripts.committed_script(str(ds.dir), push.intent.operation_id)
    assert kit.done(text).out.strip() == b"unfinished"
    second = kit.push(ds.dir, {"second.txt": b"2"}, {})
    second.stage()
    answer, _ = kit.run(second.script())
    assert answer is not None
    assert answer.code == scripts.UNFINISHED
    kit.done(commit_scripts.settle_script(str(ds.dir), push.intent))
    assert kit.done(text).out.strip() == b"finished"
    other = commit_scripts.committed_script(str(ds.dir), second.intent.operation_id)
    assert kit.done(other).out.strip() == b"no"


# Both at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("locked", [True, False], ids=["flock", "no-flock"])
def test_RCV_3_scripts_and_python_writers_lose_nothing(ram: Path, locked: bool):
    ds = kit.example(ram / "root")

    def pushed(n: int) -> str:
        for _ in range(60):
            push = kit.push(ds.dir, {f"push-{n}.txt": b"%d" % n}, {})
            incoming = f"_txn/incoming-{n}"
            (ds.dir / incoming).mkdir(exist_ok=True)
            (ds.dir / incoming / "x").write_bytes(b"%d" % n)
            kit.done(commit_scripts.stage_script(
                str(ds.dir), push.intent, incoming=incoming, sources={"f0": "x"}))  # fmt: skip
            text = commit_scripts.install_script(
                str(ds.dir), push.intent, slot=push.slot, was=push.was, incoming=incoming
            )
            text = text if locked else text.replace("command -v flock", "command -v no-flock")
            answer, _ = kit.run(text)
            if answer is not None and answer.at in ("committed", "done"):
                return push.intent.operation_id
            assert answer is None or answer.code in (scripts.STALE, scripts.UNFINISHED), answer
            if answer is not None and answer.code == scripts.UNFINISHED:
                _, intent = slots.pending(Layout(ds.dir))
                if intent is not None:
                    kit.run(commit_scripts.settle_script(str(ds.dir), intent))
        raise AssertionError("never came first")

    def written(n: int) -> None:
        mine = Dataset.open(ds.root, ds.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", slots.CommittedWarning)
            mine.set_state(IDS[n % 6], lineage=[f"w{n}"], allow_missing=False)
            mine.write_overlay_part("k", pa.table({"id": IDS[:1], "k__x": [float(n)]}))

    parts = len(list(ds.dir.glob("_derived/k/part-*")))
    with ThreadPoolExecutor(4) as pool, no_lock() if not locked else warnings.catch_warnings():
        pushes = [pool.submit(pushed, n) for n in range(6)]
        writes = [pool.submit(written, n) for n in range(6)]
        operations = [f.result() for f in pushes]
        for f in writes:
            f.result()
    slots.settle(Layout(ds.dir))
    for n, op in enumerate(operations):
        assert (ds.dir / f"push-{n}.txt").read_bytes() == b"%d" % n
        assert "push" in kit.lines_of(ds.dir, op)
    assert len(list(ds.dir.glob("_derived/k/part-*"))) == parts + 6
    states = {s["id"]: s["lineage"] for s in ds.get_state(IDS)}
    assert states == {IDS[n]: [f"w{n}"] for n in range(6)}
    ds.validate()


# The registry, digests, names ---------------------------------------------------------------------


def test_SYN_6_registry_is_replaced_only_if_it_is_the_one_seen(ram: Path):
    import hashlib

    root = ram / "there"
    root.mkdir()
    old: str | None = None
    for n, text in enumerate([b"namespaces: {}\n", b"namespaces:\n  x: '$(touch canary) `x`'\n"]):
        intent = kit.new_intent()
        intent.events.clear()
        digest = hashlib.sha256(text).hexdigest()
        intent.install.append(slots.Install("registry.yaml", "f0", len(text), digest))
        script = commit_scripts.registry_script(
            str(root), intent, slot=n, content=text, old_sha256=old
        )
        kit.done(script)
        assert (root / "registry.yaml").read_bytes() == text
        old = digest
    intent = kit.new_intent()
    intent.events.clear()
    intent.install.append(slots.Install("registry.yaml", "f0", len(text), digest))
    stale = commit_scripts.registry_script(
        str(root), intent, slot=2, content=text, old_sha256="0" * 64
    )
    answer, _ = kit.run(stale)
    assert answer is not None
    assert answer.code == scripts.STALE
    assert sorted(p.name for p in root.iterdir()) == [".usr.lock", "_txn", "registry.yaml"]


def test_SYN_5_digests_of_names_that_bite(ram: Path, shell: str):
    import hashlib

    names = ["a b", "back\\slash", "'q'", '"d"', "$(touch canary)", "`x`", "-dash", "é", "*", "~"]
    for name in names:
        (ram / name).write_bytes(name.encode())
    (ram / "grows").write_bytes(b"first\nlater\n")
    limits: dict[str, int | None] = {**dict.fromkeys(names), "grows": 6, "missing": None}
    found = scripts.parse_digests(kit.done(scripts.hash_script(str(ram), limits), shell=shell).out)
    assert found == {
        **{n: hashlib.sha256(n.encode()).hexdigest() for n in names},
        "grows": hashlib.sha256(b"first\n").hexdigest(),
    }
    with pytest.raises(StorageError, match="control characters"):
        scripts.hash_script(str(ram), {"new\nline": None})


def test_EVT_1_torn_log_is_closed_and_long_lines_stay_whole(ds: Dataset):
    with (ds.dir / ".events.log").open("ab") as log:
        log.write(b'{"torn')
    push = kit.push(ds.dir, {"x.txt": b"x"}, {})
    push.intent.events[0]["args"] = {"long": "y" * 600_000, "odd": "a\\nb %s $(x) é"}
    push.stage()
    kit.done(push.script())
    lines = (ds.dir / ".events.log").read_bytes().split(b"\n")
    assert lines[-1] == b""
    assert lines[-3] == b'{"torn'
    assert json.loads(lines[-2])["args"] == push.intent.events[0]["args"]
