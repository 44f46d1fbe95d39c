"""Command groups are imported when one of their commands runs, so that ``usr --help`` is quick.

This is the one place of the command line that loads a module by name; what it may load is the
table in :mod:`usr_nb.cli.commands` and the tables drawn on terminals. Loading is also when
pyarrow starts up, so the macOS filter (CLI-4) is put around it.
"""

from __future__ import annotations

import pkgutil
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
        return pkgutil.resolve_name(f"{PACKAGE}.{module}:{name}")
