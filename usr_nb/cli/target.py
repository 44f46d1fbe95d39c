"""Which dataset or file a command is about (LAY-2..6, CLI-3)."""

from __future__ import annotations

import contextlib
from pathlib import Path

from usr_nb.cli import say
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.files_view import dataset_folder, parquet_files
from usr_nb.errors import DatasetNotFound, PathNotFound, SequencesError, some
from usr_nb.storage import roots
from usr_nb.storage.intents import dataset_exists
from usr_nb.storage.layout import Layout, user_path

FILE_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".xlsx", ".gz", ".fa", ".fasta", ".fna")


def dataset(target: str | None, root: Path | None) -> Dataset:
    """Return the existing dataset that is meant.

    Parameters
    ----------
    target : str or None
        An id, a unique last part, or a folder; None means the dataset around the working folder,
        or what somebody at a terminal picks.
    root : Path or None
        The value of ``--root``.

    Raises
    ------
    DatasetNotFound
        None matches, several do, or none was named.
    """
    base = roots.find_root(root)
    if target is None:
        return Dataset(roots.containing_dataset(Path.cwd(), base) or _picked(base))
    if roots.is_path_like(target):
        return Dataset(roots.place_of_folder(_existing(target), base))
    try:
        return Dataset(roots.resolve(base, target))
    except SequencesError:
        # `datasets/densegen/demo`, typed from above the root, is a path that happens to exist.
        if not dataset_exists(Layout(Path(target))) or target.startswith("archived/"):
            raise
        return Dataset(roots.place_of_folder(Path(target), base))


def _existing(target: str) -> Path:
    path = user_path(target)
    roots.refuse_archived(path, None)
    if not path.exists():
        raise PathNotFound(f"{path} does not exist", hint="Check the path.")
    if path.is_file():
        raise DatasetNotFound(
            f"{path} is a file, not a dataset",
            hint=f"Give the dataset's folder, perhaps {path.parent}.",
        )
    return path


def _picked(base: Path) -> roots.Place:
    names = roots.dataset_names(base)
    if not names:
        raise DatasetNotFound(
            f"No dataset was named, and {base} holds none",
            hint="Create one with `usr init <namespace>/<name>`, or point --root at a root.",
        )
    if not say.interactive():
        raise DatasetNotFound(
            "No dataset was named, and the working folder lies in none",
            hint=f"Name one of those in {base}: {some(names, 10)}.",
        )
    return roots.resolve(base, names[say.choose(f"Datasets in {base}:", names)])


def to_explore(target: str | None, root: Path | None) -> tuple[Path, str | None]:
    """Return the root to explore and the dataset to begin with, if one is meant."""
    if target is None:
        base = roots.find_root(root)
        inside = roots.containing_dataset(Path.cwd(), base)
        return (inside.root, inside.name) if inside is not None else (base, None)
    found = dataset(target, root)
    return found.root, found.name


def to_examine(target: str | None, root: Path | None) -> Dataset | Path:
    """Return the dataset that is meant, or around the working folder; else the root itself."""
    if target is not None:
        return dataset(target, root)
    base = roots.find_root(root)
    inside = roots.containing_dataset(Path.cwd(), base)
    return base if inside is None else Dataset(inside)


def new_dataset(name: str, root: Path | None) -> Dataset:
    """Return the place for a dataset to be created; the id is taken literally (LAY-4)."""
    return Dataset(roots.new_place(roots.find_root(root), name))


def source(target: str | None, root: Path | None, pattern: str | None) -> Dataset | Path:
    """Return what a path-first command is about: a dataset, or one file anywhere.

    A folder stands for its Parquet files, of which somebody at a terminal picks one; the folder
    of a dataset stands for the dataset unless ``--glob`` asks for files.

    Raises
    ------
    PathNotFound
        There is no such file, or there are several and nobody can be asked.
    DatasetNotFound
        It is no path and no dataset.
    """
    base = roots.find_root(root)
    if target is None:
        inside = None if pattern else roots.containing_dataset(Path.cwd(), base)
        if inside is not None:
            return Dataset(inside)
        here = pattern is not None or any(Path.cwd().glob("*.parquet"))
        return _file_in(Path(), base, pattern) if here else dataset(None, root)
    path = user_path(target)
    if roots.is_path_like(target) or path.is_file() or target.lower().endswith(FILE_SUFFIXES):
        return _at(path, base, pattern)
    try:
        found = Dataset(roots.resolve(base, target))
    except SequencesError:
        if not path.is_dir() or target.startswith("archived/"):
            raise
        return _at(path, base, pattern)
    return found if pattern is None else _file_in(found.dir, base, pattern)


def _at(path: Path, base: Path, pattern: str | None) -> Dataset | Path:
    roots.refuse_archived(path, base)
    if path.is_dir():
        if pattern is None and dataset_exists(Layout(path)) and roots.says_its_id(path, base):
            return Dataset(roots.place_of_folder(path, base))
        return _file_in(path, base, pattern)
    # A missing file is named by the reader, with what else is there.
    return path


def _file_in(folder: Path, base: Path, pattern: str | None) -> Path:
    """Choose a file of a folder; inside a dataset that is an event (CLI-3)."""
    roots.refuse_archived(folder, base)
    found = parquet_files(folder, pattern=pattern)
    shown = [p.relative_to(folder).as_posix() for p in found]
    if len(found) > 1 and not say.interactive():
        raise PathNotFound(
            f"{folder} holds {len(found)} files that match: {some(shown, 10)}",
            hint="Give one of them, or narrow it down with --glob.",
        )
    at = say.choose(f"Files in {folder}:", shown) if len(found) > 1 else 0
    say.note(f"file: {found[at]}")
    _log_pick(found[at], base)
    return found[at]


def _log_pick(path: Path, base: Path) -> None:
    home = dataset_folder(path)
    if home is None:
        return
    # Looking at a file must work where the log cannot be written, and where the id is unclear.
    with contextlib.suppress(SequencesError, OSError):
        place = roots.place_of_folder(home, base)
        rel = path.resolve().relative_to(home)
        Dataset(place).log_event("implicit_file_pick", args={"path": str(rel)}, target_path=rel)
