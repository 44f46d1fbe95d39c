"""What all tests share: system tools, Hypothesis profiles, an environment without surprises."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

#: How large a test run is; these are the tests' own and reach them.
TEST_SCALES = frozenset(
    {
        "USR_CRASH_SEED",
        "USR_FUZZ_EXAMPLES",
        "USR_FUZZ_SEED",
        "USR_MODEL_EXAMPLES",
        "USR_MODEL_STEPS",
    }
)

#: The names a tool goes by; Debian keeps sshd where only root looks.
TOOLS: dict[str, tuple[str, ...]] = {
    "rsync": ("rsync",),
    "sshd": ("sshd",),
    "busybox": ("busybox",),
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "node": ("node",),
}
TOOL_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
OLDEST_NODE = 18

settings.register_profile("default", deadline=None, print_blob=True)
settings.register_profile(
    "nightly",
    deadline=None,
    print_blob=True,
    max_examples=1000,
    suppress_health_check=[HealthCheck.too_slow],
)
# CI draws the same examples for the same commit, so that red means this commit; everybody's own
# `make test` and `make nightly` draw new ones, and what they find becomes a test.
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") == "true" else "default")
)


def find_tool(name: str) -> str | None:
    """Return the path of a system tool, or None; a Node that is too old counts as none."""
    found = next((p for n in TOOLS[name] if (p := shutil.which(n, path=TOOL_PATH))), None)
    if found and name == "node":
        out = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        major = out.stdout.strip().removeprefix("v").partition(".")[0]
        return found if major.isdigit() and int(major) >= OLDEST_NODE else None
    return found


def require_tool(name: str) -> str:
    """Return the path of a system tool; without it skip, or fail where CI=true."""
    found = find_tool(name)
    if found:
        return found
    reason = f"{name} is missing (scripts/system_tools.sh installs it)"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; under CI=true nothing is left out", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", name="require_tool")
def _require_tool():
    """`require_tool` as a fixture, for tests that would rather not import it."""
    return require_tool


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for name in mark.args:
            require_tool(name)


#: What tests leave in their folders at a time is far less.
ROOM = 2 << 30


def _in_memory(config: pytest.Config) -> None:
    """Let temporary folders lie in memory: a commit waits for the disk a dozen times.

    Where there is a place for it, programs can be started from there, and TMPDIR says nothing else.
    Workers of pytest-xdist are in the folder of the process that started them.
    """
    shm = Path("/dev/shm")
    if "TMPDIR" in os.environ or not os.access(shm, os.W_OK) or not hasattr(os, "ST_NOEXEC"):
        return
    system = os.statvfs(shm)
    if system.f_flag & os.ST_NOEXEC or system.f_bavail * system.f_frsize < ROOM:
        return
    for left in shm.glob("usr-tests-*-*"):  # Of a run that was killed: memory is dear.
        if not Path(f"/proc/{left.name.split('-')[2]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=f"usr-tests-{os.getpid()}-", dir=shm)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["TMPDIR"] = tempfile.tempdir = folder


def pytest_configure(config: pytest.Config) -> None:
    _in_memory(config)
    # A developer's own settings must reach no test, and no test the developer's cache.
    for name in [n for n in os.environ if n.startswith("USR_") and n not in TEST_SCALES]:
        del os.environ[name]
    cache = tempfile.mkdtemp(prefix="usr-test-cache-")
    os.environ["USR_CACHE_DIR"] = cache
    config.add_cleanup(lambda: shutil.rmtree(cache, ignore_errors=True))


@pytest.fixture(scope="session")
def repo() -> Path:
    """The checkout."""
    return Path(__file__).resolve().parents[1]
