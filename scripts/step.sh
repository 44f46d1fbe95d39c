#!/bin/sh
# Runs one step of `make test` between a heading and its wall time; keeps the exit code.
# Usage: step.sh NAME COMMAND...
name="$1"
shift
printf '\n=== %s ===\n' "$name"
start=$(date +%s)
"$@"
code=$?
seconds=$(($(date +%s) - start))
if [ "$code" -eq 0 ]; then
  printf -- '--- %s: ok, %s s\n' "$name" "$seconds"
else
  printf -- '--- %s: FAILED (exit code %s), %s s\n' "$name" "$code" "$seconds"
fi
exit "$code"
