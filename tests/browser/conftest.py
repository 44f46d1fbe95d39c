"""One browser and one explorer for all browser tests, on a real demo root.

Every page is watched: an error in it, or a request that leaves the loopback address, fails the
test that opened it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.watch import Watch
from usr_nb.tools.demo import build_demo

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-dev-shm-usage",
]  # fmt: skip
START_TIMEOUT_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str = "/health") -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def wait_until(true: Callable[[], bool], *, what: str, seconds: float = START_TIMEOUT_S) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory) -> Path:
    return build_demo(tmp_path_factory.mktemp("browser") / "demo")


@pytest.fixture(scope="session")
def home_env(tmp_path_factory) -> dict[str, str]:
    """Make an environment in which a server finds nothing of the developer's."""
    home = tmp_path_factory.mktemp("home")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MARIMO_", "SSH_"))}
    places = {f"XDG_{n}_HOME": str(home / n.lower()) for n in ("CONFIG", "CACHE", "DATA", "STATE")}
    return {**kept, "HOME": str(home), **places}


@contextlib.contextmanager
def running(command: list[str], log: Path, **options) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server with its output in a file; stopped by its process id at the end."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **options)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def explorer(repo, demo_root, home_env, tmp_path_factory) -> Iterator[str]:
    """The address of the explorer, served by `marimo run`."""
    port = free_port()
    log = tmp_path_factory.mktemp("log") / "marimo.txt"
    command = [
        sys.executable, "-m", "marimo", "run", str(repo / "notebooks/explorer.py"),
        "--headless", "--no-token", "--no-sandbox", "--host", "127.0.0.1", "--port", str(port),
        "--", "--root", str(demo_root),
    ]  # fmt: skip
    with running(command, log, env=home_env, stdin=subprocess.DEVNULL) as process:

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            return answers(port)

        wait_until(ready, what="the explorer")
        yield f"http://127.0.0.1:{port}/"


@pytest.fixture(scope="session")
def serve_app(repo, home_env, tmp_path_factory) -> Iterator[Callable[..., str]]:
    """Serve an app of tests/browser/apps with marimo, once for each name; returns its address."""
    with contextlib.ExitStack() as stack:
        addresses: dict[str, str] = {}

        def serve(name: str, root: Path) -> str:
            if name not in addresses:
                port = free_port()
                log = tmp_path_factory.mktemp("log") / f"{name}.txt"
                command = [
                    sys.executable, "-m", "marimo", "run",
                    str(repo / f"tests/browser/apps/{name}.py"), "--headless", "--no-token",
                    "--no-sandbox", "--host", "127.0.0.1", "--port", str(port),
                ]  # fmt: skip
                env = {**home_env, "USR_TEST_ROOT": str(root)}
                process = stack.enter_context(
                    running(command, log, env=env, stdin=subprocess.DEVNULL)
                )
                wait_for_server(process, log, port, "/health")
                addresses[name] = f"http://127.0.0.1:{port}/"
            return addresses[name]

        yield serve


def wait_for_server(process: subprocess.Popen[bytes], log: Path, port: int, path: str) -> None:
    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        return answers(port, path)

    wait_until(ready, what=f"the server of {log.stem}")


@dataclass(frozen=True)
class Lab:
    """A JupyterLab: its address, and the folder it serves."""

    address: str
    folder: Path


@pytest.fixture(scope="session")
def jupyter(home_env, tmp_path_factory) -> Iterator[Lab]:
    """A JupyterLab that finds nothing of the developer's and asks nobody for news."""
    port, folder = free_port(), tmp_path_factory.mktemp("lab")
    log = tmp_path_factory.mktemp("log") / "jupyter.txt"
    places = {f"JUPYTER_{n}_DIR": str(folder / f".{n.lower()}") for n in ("CONFIG", "DATA")}
    # A socket's path must be short; the runtime folder holds those of kernels.
    env = {
        **{k: v for k, v in home_env.items() if not k.startswith("JUPYTER_")},
        **places, "JUPYTER_RUNTIME_DIR": str(folder / ".run"),
        "IPYTHONDIR": str(folder / ".ipython"),
    }  # fmt: skip
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=",
        "--ServerApp.allow_root=True", f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    with running(command, log, env=env, stdin=subprocess.DEVNULL, cwd=folder) as process:
        wait_for_server(process, log, port, "/api")
        yield Lab(f"http://127.0.0.1:{port}/", folder)


@pytest.fixture(scope="session")
def browser(require_tool, home_env) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=require_tool("chromium"), args=FLAGS, env=home_env
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def opened(browser, explorer) -> Iterator[tuple[Page, Watch]]:
    """The explorer in a watched page, once per module: opening it takes longer than using it."""
    context = browser.new_context(viewport={"width": 1280, "height": 1100}, color_scheme="light")
    page, watch = context.new_page(), Watch()
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    watch.on(page)
    page.goto(explorer)
    yield page, watch
    context.close()


@pytest.fixture
def page(opened) -> Iterator[Page]:
    """The page; what the watch found in it fails the test at its end."""
    page, watch = opened
    yield page
    assert watch.found == []
