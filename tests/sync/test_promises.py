"""What docs/sync.md promises, one by one, through the command line and the stand-in."""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import run
from tests.sync.beds import StandIn
from tests.sync.meet import IDS, NAME, Bed, values
from tests.sync.sshd import program
from tests.sync.table import adds, dropped, text, writes
from usr_nb import Progress, StalePlanError, TransferError, VerificationError
from usr_nb.storage import door, slots

pytestmark = pytest.mark.needs("rsync")


def without(folder: Path, *missing: str) -> Path:
    """Return a folder with all programs of this machine but some."""
    folder.mkdir()
    for place in ("/bin", "/usr/bin"):
        for path in Path(place).iterdir():
            if path.name not in missing and not (folder / path.name).is_symlink():
                (folder / path.name).symlink_to(path)
    return folder


# Verification -------------------------------------------------------------------------------------


def test_SYN_2_verification_modes_say_what_they_compared(
    over_standin: Bed, standin: StandIn, tmp_path: Path
) -> None:
    bed = over_standin
    writes({0: 9.0})(bed.there)
    assert bed.diff()["verify_notes"] == []
    assert bed.diff("--verify", "hash")["verify_mode"] == "hash"
    told = bed.usr("diff", "--verify", "size")
    assert told.code == 0
    assert "by size alone, as asked" in told.err
    # The tests' own Python has pyarrow; the one of the system need not.
    program(tmp_path / "bin/py", f'#!/bin/sh\nexec {sys.executable} "$@"\n', "python3")
    standin.fault(path=tmp_path / "bin/py")
    assert (
        "4 rows and 7 columns at lab, 4 and 7 here"
        in bed.diff("--verify", "parquet")["verify_notes"][0]
    )


def test_SYN_2_a_remote_that_cannot_hash_is_compared_by_size_with_a_warning(
    over_standin: Bed, standin: StandIn, tmp_path: Path
) -> None:
    bed = over_standin
    writes({0: 9.0})(bed.there)
    standin.fault(bare=without(tmp_path / "poor", "sha256sum", "python3"))
    told = bed.usr("diff")
    assert told.code == 0
    assert "lab has no sha256sum: files were compared by size" in told.err
    assert "no pyarrow there" in told.err
    for mode, missing in (("hash", "sha256sum"), ("parquet", "pyarrow")):
        refused = bed.usr("pull", "-y", "--verify", mode)
        assert refused.code == 2
        assert missing in refused.err
    assert bed.here.get_table(IDS[0]).column("m__x").to_pylist() == [1.0]
    for direction in ("pull", "push"):
        bed.sync(direction)
    assert values(bed.here) == values(bed.there)
    assert bed.here.get_table(IDS[0]).column("m__x").to_pylist() == [9.0]


def test_SYN_2_equal_sizes_with_other_rows_are_an_error(
    over_standin: Bed, standin: StandIn, tmp_path: Path
) -> None:
    bed = over_standin
    standin.fault(bare=without(tmp_path / "poor", "sha256sum", "python3"))
    standin.fault(path=program(tmp_path / "python", "#!/bin/sh\necho 5 7\n", "python3"))
    with pytest.raises(VerificationError, match="5 rows and 7 columns at lab, but 4 and 7 here"):
        bed.here.sync_plan("lab")


# Deleting -----------------------------------------------------------------------------------------


def test_SYN_4_delete_lists_first_and_keeps_what_goes(over_standin: Bed) -> None:
    bed = over_standin
    writes({0: 9.0})(bed.here)
    text("notes/mine.txt", "mine\n")(bed.here)
    before = bed.files("here")
    assert "DELETE" not in bed.here.sync_plan("lab").summary("pull")
    refused = bed.usr("pull", "--delete")
    assert refused.code == 2, "nobody can be asked"
    assert "DELETE 1 part" in refused.err
    assert "notes/mine.txt" in refused.err
    assert bed.files("here") == before
    dry = bed.usr("pull", "--delete", "--dry-run")
    assert bed.files("here") == before, dry
    done = bed.usr("pull", "--delete", "-y")
    assert done.code == 0, done.err
    assert "DELETE" in done.err, "it is listed also where nobody is asked"
    after = bed.files("here")
    assert "notes/mine.txt" not in after
    assert set(before.values()) - {before[".events.log"], before["meta.md"]} <= set(after.values())
    assert values(bed.here) == values(bed.there)
    # What was deleted does not come back, nor does it travel.
    assert bed.diff()["behind"] == []
    bed.sync("push")
    assert "notes/mine.txt" not in bed.files("there")


def test_SYN_4_delete_refuses_when_most_files_would_go(over_standin: Bed) -> None:
    bed = over_standin
    for path in sorted(bed.there.dir.rglob("*"), reverse=True):
        if path.is_file() and path.name not in ("records.parquet", "meta.md", ".events.log"):
            path.unlink()
    for n in range(20):
        text(f"more/{n}.txt", "x")(bed.here)
    before = bed.whole()
    refused = bed.usr("pull", "--delete", "-y")
    assert refused.code == 2
    assert "would take away" in refused.err
    assert bed.whole() == before


# Moving sources, cut transfers --------------------------------------------------------------------


def test_SYN_5_what_is_new_at_the_source_waits(
    over_standin: Bed,
) -> None:
    """A part that comes while a pull is under way: the pull is whole without it."""
    bed = over_standin
    writes({0: 9.0})(bed.there)
    plan = bed.here.sync_plan("lab")
    writes({1: 8.0})(bed.there)
    done = plan.apply("pull")
    assert done.files_added == 1
    assert bed.here.get_table(IDS[0]).column("m__x").to_pylist() == [9.0]
    assert bed.diff()["state"] == "behind"
    bed.sync("pull")
    assert values(bed.here) == values(bed.there)


@pytest.mark.parametrize("direction", ["pull", "push"])
def test_SYN_5_a_file_that_moves_at_its_source_stops_or_is_looked_at_anew(
    direction: str, over_standin: Bed
) -> None:
    bed = over_standin
    sender, receiver = (bed.there, bed.here) if direction == "pull" else (bed.here, bed.there)
    text("notes/big.bin", "one\n" * 9)(sender)
    plan = bed.here.sync_plan("lab")
    text("notes/big.bin", "two\n" * 10)(sender)
    before = bed.files("here"), bed.files("there")
    with pytest.raises(StalePlanError, match="changed"):
        plan.apply(direction, tries=1)  # type: ignore[arg-type]
    assert (bed.files("here"), bed.files("there")) == before
    plan.apply(direction)  # type: ignore[arg-type]
    assert (receiver.dir / "notes/big.bin").read_text() == "two\n" * 10


@pytest.mark.parametrize("direction", ["pull", "push"])
def test_SYN_5_a_receiver_that_changes_meanwhile_keeps_its_work(
    direction: str, over_standin: Bed
) -> None:
    bed = over_standin
    sender, receiver = (bed.there, bed.here) if direction == "pull" else (bed.here, bed.there)
    adds("AAAAAAAAAA")(sender)
    plan = bed.here.sync_plan("lab")
    adds("CCCCCCCCCC")(receiver)
    writes({0: 7.0})(receiver)
    with pytest.raises(StalePlanError):
        plan.apply(direction, tries=1)  # type: ignore[arg-type]
    plan.apply(direction)  # type: ignore[arg-type]
    assert {"AAAAAAAAAA", "CCCCCCCCCC"} < set(values(receiver))
    assert receiver.get_table(IDS[0]).column("m__x").to_pylist() == [7.0]


@pytest.mark.parametrize("direction", ["pull", "push"])
def test_SYN_5_a_cut_transfer_goes_on_where_it_stopped(
    direction: str, over_standin: Bed, standin: StandIn
) -> None:
    """After a cut in the second of two large files the first, at least, is not sent again."""
    bed = over_standin
    sender = bed.there if direction == "pull" else bed.here
    noise = random.Random(3)
    for name in ("a.bin", "b.bin"):
        (sender.dir / name).write_bytes(noise.randbytes(2_000_000))
    way = "die_out" if direction == "pull" else "die_in"
    plan = bed.here.sync_plan("lab")
    before = bed.files("here"), bed.files("there")
    standin.fault(**{way: 3_000_000})
    with pytest.raises(TransferError):
        plan.apply(direction)  # type: ignore[arg-type]
    assert (bed.files("here"), bed.files("there")) == before, "no half a state"
    # All of it is four million bytes: it would be cut again.
    standin.fault(**{way: 2_500_000})
    done = plan.apply(direction)  # type: ignore[arg-type]
    assert done.files_added == 2
    standin.fault(**{way: None})
    assert bed.diff()["state"] == "same"


# Progress, and who is asked -----------------------------------------------------------------------


def test_EVT_5_a_push_that_cannot_be_remembered_has_succeeded(
    over_standin: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    bed, replaced = over_standin, door.replaced_file
    writes({0: 9.0})(bed.here)

    def full(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "common.json":
            raise OSError(28, "No space left on device")
        return replaced(path, *args, **kwargs)

    with monkeypatch.context() as m:
        m.setattr(door, "replaced_file", full)
        with pytest.warns(slots.CommittedWarning, match=r"committed at .* remember it yet"):
            done = bed.here.sync_plan(bed.remote.name).apply("push")
    assert done.operation_id
    assert values(bed.there) == values(bed.here)
    assert bed.sync("push")["operation_id"] is None
    assert bed.diff()["state"] == "same"


def test_SYN_6_the_library_tells_how_far_it_is_and_can_be_stopped(over_standin: Bed) -> None:
    bed = over_standin
    (bed.there.dir / "big.bin").write_bytes(os.urandom(3_000_000))
    seen: list[Progress] = []
    plan = bed.here.sync_plan("lab")

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if progress.stage == "receiving" and progress.done:
            raise KeyboardInterrupt

    before = bed.files("here")
    with pytest.raises(KeyboardInterrupt):
        plan.apply("pull", progress=stop)
    assert bed.files("here") == before
    seen.clear()
    done = plan.apply("pull", progress=seen.append)
    assert done.bytes_moved >= 3_000_000
    received = [p for p in seen if p.stage == "receiving"]
    assert received[-1].done == received[-1].total
    assert received[-1].unit == "bytes"


def test_SYN_6_a_plan_is_plain_enough_for_a_panel(over_standin: Bed) -> None:
    bed = over_standin
    for ds, value in ((bed.here, 5.0), (bed.there, 6.0)):
        writes({0: value})(ds)
        dropped(ds)
    text("b.txt", "12345")(bed.there)
    found = json.loads(json.dumps(bed.here.sync_plan("lab").as_plain()))
    assert (found["dataset"], found["remote"], found["state"]) == (NAME, "lab", "diverged")
    assert {"kind": "add", "file_class": "other", "files": 1, "bytes": 5, "rows": None} in found[
        "pull"
    ]["classes"]
    (conflict,) = found["pull"]["conflicts"]
    assert conflict["path"] == "records.parquet"
    assert [c["prefer"] for c in conflict["choices"]] == ["local", "remote"]
    assert conflict["choices"][0]["says"].startswith("this copy counts; the other base is kept as")
    chosen = bed.here.sync_plan("lab", prefer="remote").as_plain()
    assert chosen["pull"]["conflicts"] == []
    saved = [c for c in chosen["pull"]["classes"] if c["kind"] == "save"]
    assert [(c["file_class"], c["files"], c["bytes"]) for c in saved] == [("snapshot", 1, 0)]


def test_CLI_2_results_on_stdout_everything_else_on_stderr(over_standin: Bed) -> None:
    bed = over_standin
    writes({0: 9.0})(bed.there)
    plain = bed.usr("diff")
    assert plain.out.splitlines()[0] == f"{NAME} and lab: this copy is behind"
    assert "1 part only there (1 m row)" in plain.out
    asked = run("pull", NAME, "lab", "--root", bed.folder / "here", answers="n\n")
    assert asked.code == 130
    assert bed.diff()["state"] == "behind"
    dry = bed.usr("pull", "--dry-run")
    assert dry.code == 0
    assert "1 part only there" in dry.out
    assert bed.diff()["state"] == "behind"
    answered = run("pull", NAME, "lab", "--root", bed.folder / "here", answers="y\n")
    assert answered.code == 0, answered.err
    assert answered.out.startswith("pulled from lab: 1 file added")
