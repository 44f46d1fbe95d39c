#!/usr/bin/env python3
"""Builds the wheel and tries it as a stranger would: installed, away from the checkout.

The wheel goes into a new environment that borrows only the dependencies of this one (not its
editable install). There the package is imported, `usr --help` run, and the demo root built from
the files that travel in the wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PROBE = """
import json, sys
from pathlib import Path
import usr_nb
home = Path(usr_nb.__file__).parent
names = {name: getattr(usr_nb, name).__name__ for name in ("Dataset", "SequencesError", "panel")}
print(json.dumps([str(home), names]))
"""


def fail(message: str) -> None:
    print(f"ERROR: package: {message}", file=sys.stderr)
    raise SystemExit(1)


def run(command: list[str], cwd: Path, **env: str) -> str:
    """Run a command with nothing of the checkout in its environment; show all if it fails."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("USR_", "PYTHON"))}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=clean | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        print(done.stdout)
        fail(f"exit code {done.returncode} of: {' '.join(command)}")
    return done.stdout


def build(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)], folder)
    wheels = list(folder.glob("usr_nb-*.whl"))
    if len(wheels) != 1:
        fail(f"expected one wheel, found {[w.name for w in wheels]}")
    return wheels[0]


def expected() -> set[str]:
    """Name what the wheel must hold: the package, and the files of the demo and of the apps."""
    wanted = set()
    for folder, place in (
        ("usr_nb", "usr_nb"),
        ("demo_material", "usr_nb/_demo_material"),
        ("notebooks", "usr_nb/_notebooks"),
    ):
        command = ["git", "ls-files", "-co", "--exclude-standard", "--", folder]
        listed = run(command, ROOT).splitlines()
        if not listed:
            fail(f"{folder}/ holds nothing to ship")
        wanted |= {place + name.removeprefix(folder) for name in listed if (ROOT / name).is_file()}
    return wanted


def check_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    if missing := sorted(expected() - held):
        fail(f"missing from the wheel: {missing}")
    if "usr_nb/py.typed" not in held:
        fail("missing from the wheel: usr_nb/py.typed")
    for source in (ROOT / "usr_nb/widgets/js").glob("*/main.js"):
        for kind in ("js", "css"):
            if (name := f"usr_nb/widgets/static/{source.parent.name}.{kind}") not in held:
                fail(f"missing from the wheel: {name} (`make widgets` writes it)")
    tops = {name.split("/")[0] for name in held}
    if strangers := sorted(t for t in tops if t != "usr_nb" and not t.endswith(".dist-info")):
        fail(f"the wheel holds more than the package: {strangers}")


def install(wheel: Path, folder: Path) -> Path:
    """Install the wheel into a new environment and return that environment's bin folder."""
    venv = folder / "venv"
    run([sys.executable, "-m", "venv", "--without-pip", str(venv)], folder)
    python = venv / "bin/python"
    site = next((venv / "lib").glob("python*")) / "site-packages"
    # A path in a .pth file adds the folder without reading that folder's own .pth files, so the
    # dependencies come along and the editable install does not.
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    run([*pip, "--disable-pip-version-check", "--no-index", "--no-deps", str(wheel)], folder)
    return venv / "bin"


def try_out(bin_folder: Path, folder: Path) -> None:
    python, usr = str(bin_folder / "python"), str(bin_folder / "usr")
    imported = run([python, "-c", PROBE], folder)
    if str(bin_folder.parent) not in imported:
        fail(f"another usr_nb was imported: {imported}")
    usage = run([usr, "--help"], folder)
    for command in ("demo", "open", "import"):
        if command not in usage:
            fail(f"`usr --help` does not name `{command}`")
    run([usr, "demo", str(folder / "demo"), "--no-serve"], folder)
    listing = run([usr, "ls", "--format", "json", "--root", str(folder / "demo")], folder)
    if not list((folder / "demo").rglob("records.parquet")) or "dataset" not in listing:
        fail(f"the installed package built no demo: {listing}")


def main() -> None:
    # Resolved: the environment's own folder must be comparable with what Python reports.
    with tempfile.TemporaryDirectory(prefix="usr-package-") as name:
        folder = Path(name).resolve()
        wheel = build(folder)
        check_contents(wheel)
        print(f"package: {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB, holds what it must")
        try_out(install(wheel, folder), folder)
        print("package: installed away from the checkout it imports, helps, and builds the demo")


if __name__ == "__main__":
    main()
