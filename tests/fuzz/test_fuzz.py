"""Every parser, fed damaged and made-up bytes in a process of its own (``docs/reliability.md``).

``USR_FUZZ_SEED=7 python -m pytest tests/fuzz`` takes another sample;
``python -m pytest -m nightly tests/fuzz`` 20,000 inputs for each.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.fuzz import mutate, pool as pools, targets
from tests.fuzz.pool import Outcome, Pool
from tests.fuzz.targets import TARGETS, Place, Target
from tests.fuzz.worker import built
from usr_nb.errors import SchemaError

CI, NIGHTLY = 1000, 20_000
# Per seed other inputs; the nightly run begins where the other ends.
SEED = int(os.environ.get("USR_FUZZ_SEED", "0"))


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool(SEED)
    yield made
    made.close()


def check(found: Outcome, inputs: int) -> None:
    assert not found.faults, found.text()
    assert found.inputs == inputs
    # Inputs must be bad enough to be refused, and good enough to get somewhere.
    typed, result = found.ends["typed"], found.ends["result"]
    assert typed + result == inputs
    if found.target not in ONE_SIDED:
        assert typed > inputs // 200, found.text()
        assert result > inputs // 500, found.text()


#: Where nothing is refused as a whole (a log skips bad lines), or all is (a name is never free).
ONE_SIDED = frozenset({"registry-frozen", "events", "densegen", "names", "legacy-entry", "pt"})


@pytest.mark.parametrize("name", TARGETS)
def test_CLI_1_any_input_ends_in_a_result_or_a_typed_error(name: str, pool: Pool) -> None:
    check(pool.run(name, CI), CI)


@pytest.mark.nightly
@pytest.mark.parametrize("name", TARGETS)
def test_CLI_1_any_of_20000_inputs_ends_in_a_result_or_a_typed_error(name: str, pool: Pool) -> None:
    check(pool.run(name, NIGHTLY, first=CI), NIGHTLY)


# The harness itself -----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_inputs() -> None:
    for name, target in TARGETS.items():
        good = list(target.seeds())
        first = [built(target, mutate.pick(3, name, n), good) for n in range(20)]
        again = [built(target, mutate.pick(3, name, n), good) for n in range(20)]
        assert first == again
        assert len(set(first)) > 10


def _never(place: Place, data: bytes) -> object:
    while True:
        time.sleep(0.1)


def _dies(place: Place, data: bytes) -> object:
    os.kill(os.getpid(), signal.SIGSEGV)
    return None


def _slow(place: Place, data: bytes) -> object:
    end = time.process_time() + 2.5
    while time.process_time() < end:
        pass
    return None


def _fat(place: Place, data: bytes) -> object:
    return len(bytearray(os.urandom(1)) * (600 << 20))


def _greedy(place: Place, data: bytes) -> object:
    return bytearray(64 << 30)


def _bare(place: Place, data: bytes) -> object:
    raise KeyError("id")


def _litters(place: Place, data: bytes) -> object:
    (place.folder / "left-behind").write_bytes(b"x")
    raise SchemaError("no", hint="x")


def _unsaid(place: Place, data: bytes) -> object:
    place.file.write_bytes(data + b" ")
    raise SchemaError("no", hint="x")


def _beside(place: Place, data: bytes) -> object:
    (place.folder / "victim" / "keep.txt").write_text("yours")


def _seed() -> Sequence[bytes]:
    return [b"a seed"]


#: Parsers with each of the faults that are looked for; made known to the worker by its module.
BAD = {
    t.name: t
    for t in (
        Target("bad-hang", _seed, _never), Target("bad-crash", _seed, _dies),
        Target("bad-slow", _seed, _slow), Target("bad-fat", _seed, _fat),
        Target("bad-greedy", _seed, _greedy), Target("bad-untyped", _seed, _bare),
        Target("bad-litter", _seed, _litters),
        Target("bad-change", _seed, _unsaid, targets._to_file),
        Target("bad-beside", _seed, _beside, targets._with_dataset(), writes=True),
    )
}  # fmt: skip
SEEN = {
    "bad-hang": "hang", "bad-crash": "crash", "bad-slow": "slow", "bad-fat": "fat",
    "bad-greedy": "untyped", "bad-untyped": "untyped", "bad-litter": "changed",
    "bad-change": "changed", "bad-beside": "changed",
}  # fmt: skip


def test_each_fault_that_is_looked_for_is_found_and_its_input_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USR_FUZZ_TARGETS", "tests.fuzz.test_fuzz:BAD")
    pool = Pool(0, save=tmp_path / "found")
    try:
        found = {}
        for name in SEEN:
            # Patient with all others: on a busy machine two seconds of work take many more.
            monkeypatch.setattr(pools, "HANG_S", 3.0 if name == "bad-hang" else 60.0)
            found[name] = pool.run(name, 1)
    finally:
        pool.close()
    assert {n: [f["how"] for f in o.faults] for n, o in found.items()} == {
        n: [how] for n, how in SEEN.items()
    }
    for name, outcome in found.items():
        kept = Path(outcome.faults[0]["saved"]).read_bytes()
        assert kept == built(BAD[name], mutate.pick(0, name, 0), [b"a seed"])
