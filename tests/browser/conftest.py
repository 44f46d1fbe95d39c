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
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from usr_nb.tools.demo import build_demo

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-dev-shm-usage",
]  # fmt: skip
START_TIMEOUT_S = 60
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
INSIDE = {"data", "blob", "about"}


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
def browser(require_tool, home_env) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=require_tool("chromium"), args=FLAGS, env=home_env
        )
        yield launched
        launched.close()


@dataclass
class Watch:
    """What a page did that it must not do."""

    found: list[str] = field(default_factory=list)

    def on(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.found.append(f"page error: {error}"))
        page.on("request", lambda request: self.look(request.url))
        page.on("websocket", lambda ws: self.look(ws.url))

    def look(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in INSIDE and parts.hostname not in LOOPBACK:
            self.found.append(f"request off the loopback address: {url}")


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
