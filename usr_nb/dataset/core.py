"""``Dataset``: one method per verb and no logic of its own; the verbs are in ``face_*``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from usr_nb.dataset.context import Context
from usr_nb.dataset.face_import import ImportingFace
from usr_nb.dataset.face_maintain import MaintenanceFace
from usr_nb.dataset.face_plan import PlanningFace
from usr_nb.dataset.face_read import ReadingFace
from usr_nb.dataset.face_select import SelectingFace
from usr_nb.dataset.face_sync import SyncFace
from usr_nb.dataset.face_write import WritingFace
from usr_nb.storage import roots
from usr_nb.storage.layout import real_path, user_path

PathLike = str | os.PathLike[str]


class Dataset(
    ReadingFace, SelectingFace, ImportingFace, WritingFace, MaintenanceFace, PlanningFace, SyncFace
):
    """A dataset of sequences in plain files.

    Make one with :meth:`open`; nothing is read or written until a method is called.

    Attributes
    ----------
    root : Path
        The folder with ``registry.yaml``.
    name : str
        The dataset id, ``namespace/name`` or ``name``.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, register_namespace
    >>> root = tempfile.mkdtemp()
    >>> _ = register_namespace(root, namespace="mock", columns="mock__score:float64")
    >>> ds = Dataset.open(root, "densegen/demo")
    >>> ds.init(source="example")
    >>> ds.add_sequences([{"sequence": "ACGTACGTAC"}], bio_type="dna", alphabet="dna_4").added
    1
    >>> scores = ds.head(1)[["id"]].assign(mock__score=1.5)
    >>> ds.write_overlay("mock", scores)
    1
    >>> float(ds.head(1)["mock__score"].iloc[0])
    1.5
    """

    def __init__(self, place: roots.Place) -> None:
        self._ctx = Context(place)

    @classmethod
    def open(cls, root: PathLike, name_or_path: PathLike) -> Self:
        """Open a dataset by its id, by the last part of its id if that is unique, or by its folder.

        The id is taken literally if that folder exists or nothing matches, so that a dataset can be
        opened before :meth:`init` creates it (LAY-4).

        Parameters
        ----------
        root : path
            The root folder.
        name_or_path : str or path
            ``namespace/name``, ``name``, or the path of a dataset folder, also outside the root.

        Raises
        ------
        ValidationError
            If the id is not allowed, or a folder's ``meta.md`` names another id.
        DatasetNotFound
            If a path holds no dataset, or a name fits several.
        """
        base = real_path(root)
        text = os.fspath(name_or_path)
        if isinstance(name_or_path, Path) or roots.is_path_like(text):
            folder = user_path(text)
            return cls(roots.place_of_folder(folder, base))
        return cls(roots.open_or_literal(base, text))

    def __repr__(self) -> str:
        return f"Dataset({self.name!r}, root={str(self.root)!r})"
