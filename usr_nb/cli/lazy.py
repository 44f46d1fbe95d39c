"""Command groups are imported when one of their commands runs, so that ``usr --help`` is quick.

This is the one place of the command line that loads a module by name; what it may load is the
table in :mod:`usr_nb.cli.commands` and the tables drawn on terminals. Loading is also when
pyarrow starts up, so the macOS filter (CLI-4) is put around it.
"""

from __future__ import annotations

import pkgutil
import sys
from importlib.abc import MetaPathFinder
from typing import Any

from usr_nb.cli import sysctl

PACKAGE = "usr_nb.cli"


def load(module: str, name: str) -> Any:
    """Return an object of a module of this package, importing it if need be.

    Examples
    --------
    >>> load("lazy", "PACKAGE")
    'usr_nb.cli'
    """
    with sysctl.quiet_start():
        found = pkgutil.resolve_name(f"{PACKAGE}.{module}:{name}")
    if _own_process:
        _forgo_pandas()
    return found


_own_process = False


def own_process() -> None:
    """Say that this process runs one command line and nothing else, so that it may be quick."""
    global _own_process  # noqa: PLW0603 - one process, one fact
    _own_process = True


def _forgo_pandas() -> None:
    """Let pyarrow find no pandas, which it imports (0.4 s) as soon as it is given a Python list.

    It looks once per process. No command gives it a pandas object or asks for one; what needs
    pandas itself imports it as ever.
    """
    arrow = sys.modules.get("pyarrow")
    if arrow is None or "pandas" in sys.modules:
        return
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        arrow.array([])
    finally:
        sys.meta_path.remove(hidden)


class _Hidden(MetaPathFinder):
    """Say of pandas that it is not there."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:  # noqa: ARG002
        """Refuse pandas; all else is left to others."""
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname, name=fullname)
