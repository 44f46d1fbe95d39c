"""``columns.yaml`` of a root: read with the limits of the registry, changed through its slot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from usr_nb.contract.columns import ColumnInfo, Columns, as_yaml, parse_columns
from usr_nb.errors import StorageError
from usr_nb.storage import inside, registryfile, slots
from usr_nb.storage.layout import COLUMNS_FILE, Layout


def load(root: Path) -> dict[str, ColumnInfo]:
    """Return what is known of columns; nothing if there is no file.

    Raises
    ------
    SchemaError, NamespaceError, ValidationError
        If the file is malformed.
    """
    inside.check_folder(root, root)
    layout = Layout(root)
    path = root / COLUMNS_FILE
    # A committed change that is not installed yet counts.
    _, intent = slots.pending(layout)
    staged = [i for i in intent.install if i.path == COLUMNS_FILE] if intent is not None else []
    for place in [layout.txn / intent.operation_id / i.staged for i in staged if intent] + [path]:
        try:
            most = registryfile.MAX_BYTES
            data = place.read_bytes() if place.stat().st_size <= most else b" " * (most + 1)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise StorageError(f"Cannot read {place}: {error.strerror}") from error
        return parse_columns(registryfile.load_yaml(data, where=str(path)), where=str(path))
    return {}


def update(root: Path, change: Callable[[Columns], Columns]) -> dict[str, ColumnInfo]:
    """Replace the file by ``change(what it says)`` through a slot: no change is lost.

    Raises
    ------
    NamespaceError
        If the root has no registry.
    """
    inside.check_folder(root, root)
    registryfile.load(root)

    def build(stage: slots.Stage) -> dict[str, ColumnInfo]:
        before = load(root)
        after = dict(change(before))
        if after != before:
            stage.small_file(COLUMNS_FILE, as_yaml(after).encode())
        return after

    return slots.commit(root, build, action="columns_set")
