"""``registry.yaml`` and the frozen registries of a dataset (contract REG)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from usr_nb.contract.registry import Registry, parse_registry
from usr_nb.errors import NamespaceError, SchemaError, StorageError
from usr_nb.storage import door, inside, slots
from usr_nb.storage.layout import REGISTRY_FILE, Layout

MAX_BYTES: Final = 8 << 20
MAX_EVENTS: Final = 30_000
MAX_DEPTH: Final = 32


#: libyaml where PyYAML was built with it: thirty times as fast, and its parser does not recurse.
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _check_shape(text: str) -> None:
    """Raise a YAMLError for what is cheap to write and dear to load, before anything is built."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.AliasEvent):
            # A few of them can ask for gigabytes.
            raise yaml.YAMLError("aliases are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or count > MAX_EVENTS:
            raise yaml.YAMLError("it is nested too deeply, or holds too many values")


def load_yaml(data: bytes, *, where: str) -> Any:
    """Read YAML from a file that may be hostile: no aliases, no tags, not too much of it.

    At most 8 MiB, 30,000 events of the YAML parser (a column of a registry has six) and 32 levels.

    Raises
    ------
    SchemaError
        If it is too large or no such YAML.
    """
    if len(data) > MAX_BYTES:
        raise SchemaError(f"{where} is larger than {MAX_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8")
        _check_shape(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - both kinds are safe ones
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        first = " ".join(str(error).split())[:160]
        raise SchemaError(f"{where} is not readable YAML: {first}", hint="Mend the file.") from None


@lru_cache(maxsize=64)
def _parse(data: bytes, where: str) -> Registry:
    return parse_registry(load_yaml(data, where=where), where=where)


def _missing(root: Path) -> NamespaceError:
    return NamespaceError(
        f"No registry at {root / REGISTRY_FILE}",
        hint=(
            "Create one with `usr root init`, or by registering a namespace: "
            "usr namespace register <ns> --columns <ns>__<field>:<type>"
        ),
    )


def load(root: Path) -> Registry:
    """Return the registry of a root.

    Raises
    ------
    NamespaceError
        If there is none (the hint gives the command that makes one), or it is not allowed.
    SchemaError
        If the file is malformed.
    """
    registry = load_or_none(root)
    if registry is None:
        raise _missing(root)
    return registry


def load_or_none(root: Path) -> Registry | None:
    """Return the registry of a root, or None if there is no file."""
    inside.check_folder(root, root)
    layout = Layout(root)
    path = root / REGISTRY_FILE
    # A committed registration that is not installed yet counts.
    _, intent = slots.pending(layout)
    staged = [i for i in intent.install if i.path == REGISTRY_FILE] if intent is not None else []
    for place in [layout.txn / intent.operation_id / i.staged for i in staged if intent] + [path]:
        try:
            data = (
                place.read_bytes() if place.stat().st_size <= MAX_BYTES else b" " * (MAX_BYTES + 1)
            )
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise StorageError(f"Cannot read {place}: {error.strerror}") from error
        return _parse(data, str(path))
    return None


def update(root: Path, change: Callable[[Registry], Registry], *, action: str) -> Registry:
    """Replace the registry by ``change(registry)`` through a slot: none is lost (REG-7)."""
    inside.check_folder(root, root)

    def build(stage: slots.Stage) -> Registry:
        before = load_or_none(root)
        after = change(before if before is not None else Registry())
        if before is None or after.as_yaml() != before.as_yaml():
            stage.small_file(REGISTRY_FILE, after.as_yaml().encode())
        return after

    return slots.commit(root, build, action=action)


def frozen_hashes(layout: Layout) -> dict[str, Registry]:
    """Return the frozen registries whose content re-hashes to their name (REG-8)."""
    found = {}
    try:
        entries = sorted(layout.registries.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    for entry in entries:
        named = entry.name.removeprefix("registry.").removesuffix(".yaml")
        if entry.name != f"registry.{named}.yaml" or len(named) != 64 or entry.is_symlink():
            continue
        try:
            if entry.stat().st_size > MAX_BYTES:
                continue
            registry = _parse(entry.read_bytes(), str(entry))
        except (OSError, SchemaError, NamespaceError):
            continue
        if registry.hash == named:
            found[named] = registry
    return found


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    return door.file_sha256(path)
