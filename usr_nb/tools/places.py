"""Where the demo's files and the apps lie: in the installed package, or in the checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from usr_nb.errors import PathNotFound

_PACKAGE: Final = Path(__file__).resolve().parents[1]


def demo_file(name: str) -> Path:
    """Return the path of a file of the demo material.

    Parameters
    ----------
    name : str
        A file name, such as ``demo_sequences.csv``.

    Raises
    ------
    PathNotFound
        Neither the package nor the checkout has it.

    Examples
    --------
    >>> demo_file("demo_sequences.csv").name
    'demo_sequences.csv'
    """
    return _find("demo_material", name)


def notebook_file(name: str) -> Path:
    """Return the path of an app; see :func:`demo_file`.

    Examples
    --------
    >>> notebook_file("explorer.py").name
    'explorer.py'
    """
    return _find("notebooks", name)


def _find(folder: str, name: str) -> Path:
    # A wheel carries the folders inside the package; an editable install reads the checkout's.
    places = (_PACKAGE / f"_{folder}", _PACKAGE.parent / folder)
    for place in places:
        if (place / name).is_file():
            return place / name
    raise PathNotFound(
        f"{name} is neither in {places[0]} nor in {places[1]}",
        hint="Install usr_nb again, or run from a complete checkout.",
    )
