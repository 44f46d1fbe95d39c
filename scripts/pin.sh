#!/bin/sh
# Renews constraints.txt: installs everything that a run or a test may ask for into a clean
# environment and writes down what came. Names and versions only, so that the file serves any
# index, Linux and macOS, and Python 3.11 to 3.13. torch (extra "legacy") stays unpinned: its
# build differs by machine.
set -eu
python="${PYTHON:-python3}"
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" - "$here/pyproject.toml" >"$work/wanted.txt" <<'PY'
import sys, tomllib
with open(sys.argv[1], "rb") as f:
    doc = tomllib.load(f)
wanted = set(doc["project"]["dependencies"]) | set(doc["dependency-groups"]["notebooks"])
for extra, names in doc["project"]["optional-dependencies"].items():
    if extra != "legacy":
        wanted |= set(names)
print(*sorted(wanted, key=str.lower), sep="\n")
PY
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$work/wanted.txt"
{
  echo "# The versions that are tested. Written by scripts/pin.sh; use: pip install -c constraints.txt -e ."
  "$work/venv/bin/python" -m pip freeze --disable-pip-version-check | grep -E '^[A-Za-z0-9._-]+==[^ ]+$'
} >"$work/constraints.txt"
mv "$work/constraints.txt" "$here/constraints.txt"
echo "constraints.txt: $(grep -c == "$here/constraints.txt") pins"
