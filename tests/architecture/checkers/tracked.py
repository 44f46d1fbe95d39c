"""What no committed file may hold: package registries, paths of one machine, half-done pages."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

# Put together from pieces, so that this file does not hold what it looks for.
_HOSTS = [
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("registry.npmjs", "org"),
    ("registry.yarnpkg", "com"),
    ("deb.debian", "org"),
    ("security.debian", "org"),
    ("anaconda", "org"),
    ("crates", "io"),
    ("proxy.golang", "org"),
    ("repo.maven.apache", "org"),
]
REGISTRY = re.compile("|".join(re.escape(f"{a}.{b}") for a, b in _HOSTS), re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.~}\])*-])/(?:work|root|home)/[\w.]")
#: What a page holds in place of a figure that is still to come.
PLACEHOLDER = re.compile(r"@@\w*")
_SKIPPED = {"node_modules", "__pycache__"}
_SKIPPED_AT_TOP = {"demo", "build", "dist"}


def tracked_files(root: Path) -> list[Path]:
    """List the files that git has or would take; without git, all files but the usual leftovers."""
    if (root / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        out = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
        names = [n for n in out.decode().split("\0") if n]
        return sorted(p for n in set(names) if (p := root / n).is_file())
    found = []
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        hidden = any(p in _SKIPPED or (p.startswith(".") and p != ".ci") for p in parts)
        if not hidden and parts[0] not in _SKIPPED_AT_TOP and path.is_file():
            found.append(path)
    return sorted(found)


def check_texts(texts: dict[str, str]) -> list[str]:
    """Find the lines of the given files that name a registry or a machine's own folder."""
    found = []
    for name, text in texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, what in ((REGISTRY, "package registry"), (MACHINE_PATH, "machine path")):
                if hit := pattern.search(line):
                    found.append(f"{name}:{number}: {what}: {hit.group()}")
    return found


def check_placeholders(texts: dict[str, str]) -> list[str]:
    """Find pages that were never finished."""
    return [
        f"{name}:{number}: left over: {hit.group()}"
        for name, text in texts.items()
        if name.endswith(".md")
        for number, line in enumerate(text.splitlines(), 1)
        if (hit := PLACEHOLDER.search(line))
    ]


def read_texts(root: Path) -> dict[str, str]:
    """Read the tracked files that are text."""
    texts = {}
    for path in tracked_files(root):
        data = path.read_bytes()
        if b"\0" not in data:
            texts[path.relative_to(root).as_posix()] = data.decode("utf-8", "replace")
    return texts
