#!/bin/sh
# Says in plain words what is wrong with the interpreter, before venv or pip do it their way.
# Usage: check_python.sh PYTHON
python="$1"
if ! command -v "$python" >/dev/null 2>&1; then
  echo "ERROR: '$python' was not found." >&2
  echo "Hint: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.12 ..." >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "ERROR: usr_nb needs Python 3.11 or newer; '$python' is $("$python" -V 2>&1)." >&2
  for other in python3.13 python3.12 python3.11; do
    if command -v "$other" >/dev/null 2>&1 && "$other" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "Hint: this machine has one: make PYTHON=$other ..." >&2
      exit 1
    fi
  done
  echo "Hint: install one, then: make PYTHON=/path/to/python3.12 ..." >&2
  exit 1
fi
if ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
  echo "ERROR: '$python' has no venv module (Debian and Ubuntu package it apart)." >&2
  echo "Hint: apt-get install python3-venv, or name another: make PYTHON=/path/to/python3.12 ..." >&2
  exit 1
fi
