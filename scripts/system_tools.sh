#!/bin/sh
# Makes sure of the programs that tests need besides Python: rsync, sshd, busybox, chromium.
# Installs through apt where that needs no question (root, or sudo without a password);
# otherwise says which tests are left out. Under CI=true a missing tool fails.
# The test suite asks the same question by itself (needs("...") in tests/conftest.py).
set -u
PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin"

have() {
  case "$1" in
    chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

package() {
  case "$1" in
    sshd) echo openssh-server ;;
    *) echo "$1" ;;
  esac
}

left_out() {
  case "$1" in
    rsync) echo 'sync tests marked needs("rsync")' ;;
    sshd) echo 'sync tests over a real ssh server, marked needs("sshd")' ;;
    busybox) echo 'sync scripts under the sh of busybox, marked needs("busybox")' ;;
    chromium) echo 'tests/browser: the apps and panels in a real browser, marked needs("chromium")' ;;
  esac
}

# Node is not among them: it comes as a wheel with the test tools (pyproject.toml, extra dev).
tools="rsync sshd busybox chromium"

missing=""
for tool in $tools; do
  have "$tool" || missing="$missing $tool"
done

as_root=""
can_apt=no
if command -v apt-get >/dev/null 2>&1; then
  if [ "$(id -u)" -eq 0 ]; then
    can_apt=yes
  elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
    can_apt=yes
    as_root="sudo -n"
  fi
fi

if [ -n "$missing" ] && [ "$can_apt" = yes ]; then
  packages=""
  for tool in $missing; do packages="$packages $(package "$tool")"; done
  echo "system tools: installing$packages (apt)"
  log=$(mktemp)
  # shellcheck disable=SC2086  # word splitting is wanted: a list of packages
  if ! { $as_root apt-get update -qq &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; } \
    </dev/null >"$log" 2>&1; then
    echo "system tools: apt could not install them; its last lines:" >&2
    tail -n 15 "$log" >&2
  fi
  rm -f "$log"
fi

still=""
for tool in $tools; do
  if have "$tool"; then
    echo "system tools: $tool is there"
  else
    still="$still $tool"
    echo "system tools: $tool is MISSING, so these are left out: $(left_out "$tool")"
  fi
done

if [ -n "$still" ]; then
  if [ "$can_apt" = no ]; then
    echo "Hint: install them yourself (Debian: apt-get install$(for t in $still; do printf ' %s' "$(package "$t")"; done); macOS: brew install rsync, brew install --cask chromium)."
  fi
  if [ "${CI:-}" = true ]; then
    echo "ERROR: CI=true and missing:$still. Leaving tests out counts as failing here." >&2
    exit 1
  fi
fi
exit 0
