"""REG-1, REG-7, REG-8: the registry file, from many processes and with hostile content."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.storage import kit
from usr_nb.contract.registry import STATE_ENTRY, NamespaceEntry, Registry, parse_columns_spec
from usr_nb.errors import NamespaceError, SchemaError, SequencesError
from usr_nb.storage import registryfile, slots
from usr_nb.storage.layout import Layout


def added(ns: str, spec: str = "x:int8"):
    entry = NamespaceEntry(None, None, parse_columns_spec(spec, namespace=ns))
    return lambda before: before.with_entry(ns, entry)


def update(root: Path, ns: str, spec: str = "x:int8") -> Registry:
    return registryfile.update(root, added(ns, spec), action="register")


def test_REG_1_without_a_registry_the_error_says_which_command_creates_one(tmp_path):
    assert registryfile.load_or_none(tmp_path) is None
    assert registryfile.load_or_none(tmp_path / "gone") is None
    with pytest.raises(NamespaceError, match="No registry") as e:
        registryfile.load(tmp_path)
    assert "usr root init" in e.value.hint
    assert "usr namespace register" in e.value.hint


def test_REG_1_the_first_registration_creates_the_file_with_usr_state(tmp_path):
    made = update(tmp_path / "new", "m")
    assert set(made) == {"m", "usr_state"}
    assert registryfile.load(tmp_path / "new") == made
    plain = yaml.safe_load((tmp_path / "new/registry.yaml").read_text())
    assert plain["namespaces"]["m"]["columns"] == [{"name": "m__x", "type": "int8"}]
    assert plain["namespaces"]["usr_state"] == STATE_ENTRY.as_plain()


def test_REG_7_nothing_to_change_writes_nothing(tmp_path):
    update(tmp_path, "m")
    before = slots.highest_slot(Layout(tmp_path)), (tmp_path / "registry.yaml").stat().st_ino
    update(tmp_path, "m")
    assert (
        slots.highest_slot(Layout(tmp_path)),
        (tmp_path / "registry.yaml").stat().st_ino,
    ) == before


def test_REG_7_the_file_is_replaced_at_once_or_not_at_all(tmp_path):
    template = tmp_path / "count"
    update(template, "m")
    with kit.watched_door() as seen:
        update(template, "n")
    outcomes = []
    for at in range(len(seen.calls)):
        root = tmp_path / str(at)
        update(root, "m")
        with kit.watched_door(at, kit.Killed), pytest.raises(kit.Killed):
            update(root, "n")
        outcomes.append("n" in registryfile.load(root))
        assert "m" in registryfile.load(root)
        assert "n" in update(root, "n"), "a second try succeeds"
        assert set(update(root, "o")) == {"m", "n", "o", "usr_state"}
    assert outcomes == sorted(outcomes)
    assert {True, False} == set(outcomes)


WORKER = """
import sys
from usr_nb.contract.registry import NamespaceEntry, parse_columns_spec
from usr_nb.storage import lock, registryfile
from contextlib import nullcontext
from pathlib import Path
root, k, flock = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "flock"
if not flock:
    lock.held = lambda *a, **kw: nullcontext()
print("ready", flush=True)
sys.stdin.readline()
for n in range(5):
    ns = f"w{k}n{n}"
    entry = NamespaceEntry(None, None, parse_columns_spec("x:int8", namespace=ns))
    for _ in range(50):
        try:
            registryfile.update(root, lambda r: r.with_entry(ns, entry), action="register")
            break
        except registryfile.slots.ConcurrentWriteError:
            pass
"""


@pytest.mark.parametrize("how", ["flock", "no-flock"])
def test_REG_7_registrations_of_four_processes_are_all_there(tmp_path, how):
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    runs = [
        subprocess.Popen(
            [*command, str(k), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for k in range(4)
    ]
    for run in runs:
        run.stdout.readline()
    for run in runs:
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        run.communicate(timeout=60)
        assert run.returncode == 0
    found = set(registryfile.load(tmp_path)) - {"usr_state"}
    assert found == {f"w{k}n{n}" for k in range(4) for n in range(5)}, "20 of 20"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
)
GOOD = (
    Registry()
    .with_entry("m", NamespaceEntry(None, None, parse_columns_spec("x:int8", "m")))
    .as_yaml()
)
HOSTILE = {
    "alias": GOOD + "x: &a 1\ny: *a\n",
    "bomb": GOOD + BOMB,
    "merge": GOOD + "x: &a {b: 1}\ny: {<<: *a}\n",
    "tag": GOOD + "x: !!python/object/apply:os.system ['true']\n",
    "new": GOOD + "x: !!python/object/new:str ['x']\n",
    "own": GOOD + "x: !mine 3\n",
    "half": "namespaces: {m: [",
    "tabs": "a:\n\t- b",
    "bytes": b"\xff\xfe\x00",
    "null": b"a: \x00",
    "date": GOOD + "x: 2026-99-99\n",
    "deep": "[" * 3000,
    "two": GOOD + "---\nb: 2\n",
    "key": GOOD + "? [a]\n: 1\n",
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_REG_2_hostile_yaml_is_a_typed_error(tmp_path, name):
    text = HOSTILE[name]
    (tmp_path / "registry.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    started = time.monotonic()
    with pytest.raises(SequencesError) as e:
        registryfile.load(tmp_path)
    assert "registry.yaml" in e.value.message
    assert time.monotonic() - started < 5


def test_REG_2_the_same_file_without_the_hostile_lines_is_read(tmp_path):
    (tmp_path / "registry.yaml").write_text(GOOD)
    assert set(registryfile.load(tmp_path)) == {"m", "usr_state"}


def test_REG_2_a_huge_registry_is_refused_unread(tmp_path):
    path = tmp_path / "registry.yaml"
    with path.open("wb") as f:
        f.truncate(3 << 30)
    with pytest.raises(SchemaError, match="larger than 8 MiB"):
        registryfile.load(tmp_path)
    with pytest.raises(SchemaError, match="larger"):
        registryfile.load_yaml(b" " * (registryfile.MAX_BYTES + 1), where="x")


def test_REG_2_tampering_with_usr_state_is_found(tmp_path):
    update(tmp_path, "m")
    path = tmp_path / "registry.yaml"
    path.write_text(path.read_text().replace("usr_state__masked", "usr_state__mask"))
    with pytest.raises(NamespaceError, match="usr_state"):
        registryfile.load(tmp_path)
    with pytest.raises(NamespaceError):
        update(tmp_path, "n")
    assert "n__x" not in path.read_text()


def test_REG_8_frozen_registries_hash_to_their_name(tmp_path):
    one = Registry().with_entry("m", added("m")(Registry())["m"])
    two = added("n")(one)
    layout = Layout(tmp_path)
    layout.registries.mkdir()
    for registry, name in ((one, one.hash), (two, two.hash), (two, "0" * 64), (one, "short")):
        (layout.registries / f"registry.{name}.yaml").write_text(registry.as_yaml())
    (layout.registries / f"registry.{'1' * 64}.yaml").write_text("{")
    (layout.registries / "other.txt").write_text("x")
    assert registryfile.frozen_hashes(layout) == {one.hash: one, two.hash: two}
    assert registryfile.frozen_hashes(Layout(tmp_path / "gone")) == {}
