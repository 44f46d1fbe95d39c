"""What is at a root: datasets and registry."""

from __future__ import annotations

import os
from collections.abc import Mapping

from usr_nb.contract.registry import NamespaceEntry
from usr_nb.storage import registryfile
from usr_nb.storage.layout import real_path
from usr_nb.storage.roots import dataset_names


def list_datasets(root: str | os.PathLike[str]) -> list[str]:
    """Return the ids of all datasets below a root, sorted; archived ones are not listed.

    Examples
    --------
    >>> import tempfile
    >>> list_datasets(tempfile.mkdtemp())
    []
    """
    return dataset_names(real_path(root))


def load_registry(root: str | os.PathLike[str]) -> Mapping[str, NamespaceEntry]:
    """Return the registry of a root: namespace → entry.

    Raises
    ------
    NamespaceError
        If there is no ``registry.yaml``; the hint gives the command that makes one.
    SchemaError
        If the file is malformed.
    """
    return registryfile.load(real_path(root))
