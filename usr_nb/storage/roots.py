"""Roots and the datasets in them (contract LAY-2..6)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from usr_nb.contract.names import CANONICAL_ARCHIVE, check_dataset_id, is_dataset_part
from usr_nb.errors import (
    DatasetNotFound,
    ValidationError,
    did_you_mean,
    join_hints,
    some,
)
from usr_nb.storage import notes
from usr_nb.storage.inside import check_link
from usr_nb.storage.intents import dataset_exists
from usr_nb.storage.layout import META, REGISTRY_FILE, Layout, real_path, user_path


@dataclass(frozen=True)
class Place:
    """A dataset's root, id and folder."""

    root: Path
    name: str
    dir: Path


def find_root(root: str | os.PathLike[str] | None = None, *, cwd: Path | None = None) -> Path:
    """Return the root: argument, else ``USR_ROOT``, else found upwards, else ``./datasets``.

    Upwards means the nearest folder from the working directory that holds ``registry.yaml`` or
    ``datasets/registry.yaml`` (LAY-2).
    """
    here = cwd or Path.cwd()
    given = root or os.environ.get("USR_ROOT")
    if given:
        return real_path(here / user_path(given))
    for folder in (here, *here.parents):
        if (folder / REGISTRY_FILE).is_file():
            return folder.resolve()
        if (folder / "datasets" / REGISTRY_FILE).is_file():
            return (folder / "datasets").resolve()
    return (here / "datasets").resolve()


def dataset_names(root: Path) -> list[str]:
    """Return the ids of all datasets below a root, sorted; archives are not listed."""
    found = []
    for entry in _folders(root):
        if entry.name == "archived":
            continue  # Legacy: no id begins so (LAY-3).
        if dataset_exists(Layout(entry)):
            found.append(entry.name)
            continue
        found += [
            f"{entry.name}/{child.name}"
            for child in _folders(entry)
            if dataset_exists(Layout(child))
        ]
    return sorted(found)


def _folders(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError:
        return []
    return [e for e in entries if is_dataset_part(e.name) and e.is_dir() and not e.is_symlink()]


def literal_place(root: Path, name: str) -> Place:
    """Return the place of exactly this id, whether or not it exists; links may not leave the root.

    Raises
    ------
    ValidationError
        If the id is malformed, or a link leads out of the root.
    """
    check_dataset_id(name)
    folder = root / name
    resolved = real_path(folder)
    if not resolved.is_relative_to(root.resolve()):
        raise ValidationError(
            f"Dataset '{name}' is a link that leaves the root {root}",
            hint="Give the dataset's own path instead.",
        )
    parts = name.split("/")
    if len(parts) == 2 and dataset_exists(Layout(root / parts[0])):
        raise ValidationError(
            f"Dataset '{name}' would lie inside dataset '{parts[0]}'",
            hint="Choose another namespace.",
        )
    return Place(root, name, folder)


def new_place(root: Path, name: str) -> Place:
    """Return the place for a dataset to be created; it may not contain other datasets."""
    place = literal_place(root, name)
    if "/" not in name:
        inside = [f"{name}/{c.name}" for c in _folders(place.dir) if dataset_exists(Layout(c))]
        if inside:
            raise ValidationError(
                f"'{name}' is a namespace: it holds {some(inside)}",
                hint=f"Write {name}/<dataset>.",
            )
    return place


def resolve(root: Path, name: str) -> Place:
    """Return the one existing dataset meant by an id, or by its last part alone (LAY-4).

    Raises
    ------
    DatasetNotFound
        If none or several match; the hint lists the closest or all.
    """
    place = literal_place(root, name)
    if dataset_exists(Layout(place.dir)):
        return place
    names = dataset_names(root)
    matches = [n for n in names if n.rpartition("/")[2] == name]
    if len(matches) == 1:
        return literal_place(root, matches[0])
    if matches:
        raise DatasetNotFound(
            f"Dataset name '{name}' is ambiguous below {root}",
            hint=f"Give the full id: {some(matches, 10)}.",
        )
    raise not_found(root, name, names)


def not_found(root: Path, name: str, names: list[str] | None = None) -> DatasetNotFound:
    """Build the error for a dataset that does not exist."""
    known = dataset_names(root) if names is None else names
    tails = {n.rpartition("/")[2]: n for n in known}
    close = did_you_mean(name, known) or did_you_mean(name.rpartition("/")[2], tails)
    listed = f"Datasets there: {some(known, 10)}." if known else "No dataset is there yet."
    create: str | None = f"Create it with `usr init {name}`."
    inside = [n for n in known if n.startswith(f"{name}/")]
    if inside:
        # No dataset may lie inside a dataset: it cannot be created.
        close, create = f"'{name}' is a namespace, with {some(inside, 10)}.", None
    return DatasetNotFound(
        f"Dataset '{name}' does not exist below {root}", hint=join_hints(close, listed, create)
    )


def open_or_literal(root: Path, name: str) -> Place:
    """Return the literal place if that folder exists or nothing matches, else the match (LAY-4)."""
    place = literal_place(root, name)
    if place.dir.is_dir():
        return place
    matches = [n for n in dataset_names(root) if n.rpartition("/")[2] == name]
    return place if not matches else resolve(root, name)


def refuse_archived(path: Path, root: Path | None) -> None:
    """Raise for a path in a legacy archive folder (LAY-3)."""
    full = Path(os.path.normpath(Path.cwd() / path))
    parts = full.parts
    legacy = ("usr", "archived") in pairwise(parts)
    if legacy or (root is not None and full.is_relative_to(root / "archived")):
        raise ValidationError(
            f"{path} lies in a legacy archive folder", hint=f"Use {CANONICAL_ARCHIVE}."
        )


def place_of_folder(folder: Path, root: Path | None) -> Place:
    """Return the place of a dataset given by its folder, inside or outside the root (LAY-6).

    Raises
    ------
    DatasetNotFound
        If the folder holds no dataset.
    ValidationError
        If the id in its ``meta.md`` does not agree with the path.
    """
    refuse_archived(folder, root)
    full = real_path(folder)
    if not dataset_exists(Layout(full)):
        raise DatasetNotFound(
            f"{folder} holds no dataset (no records.parquet)", hint="Give a dataset's folder."
        )
    if root is not None and full.is_relative_to(root.resolve()):
        rel = full.relative_to(root.resolve()).as_posix()
        return literal_place(root, rel)
    # Its first line is read here; all else is judged where it is read (``dataset.context``).
    check_link(full / META, full)
    name = check_dataset_id(notes.require_name(Layout(full).meta))
    tail = full.parts[-name.count("/") - 1 :]
    if "/".join(tail) != name:
        raise ValidationError(
            f"{folder}: meta.md says `name: {name}`, which does not agree with the path",
            hint="Rename the folder, or correct the first line of meta.md.",
        )
    outside = Path(*full.parts[: len(full.parts) - len(tail)])
    return Place(outside, name, full)


def is_path_like(text: str) -> bool:
    """Say whether a target is meant as a path rather than a dataset id."""
    return text.startswith(("/", "./", "../", "~")) or text in (".", "..")


def containing_dataset(cwd: Path, root: Path) -> Place | None:
    """Return the dataset that the working directory lies in, or None (LAY-5)."""
    here = cwd.resolve()
    for folder in (here, *here.parents):
        if folder.resolve() == root.resolve():
            return None
        if Layout(folder).records.is_file() and says_its_id(folder, root):
            return place_of_folder(folder, root)
    return None


def says_its_id(folder: Path, root: Path) -> bool:
    """Say whether a folder's id is known: from its path in the root, else from its notes (LAY-6).

    Elsewhere a ``records.parquet`` alone is a file like any other.
    """
    return (folder / META).exists() or real_path(folder).is_relative_to(root.resolve())
