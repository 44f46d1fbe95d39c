"""The quickstarts as their readers run them: as a script, under marimo, in JupyterLab."""

from __future__ import annotations

import json
import subprocess
import sys

from playwright.sync_api import expect

from tests.browser import hosts
from tests.browser.conftest import free_port, running, wait_for_server

PANELS = ("filter", "sequences", "describe", "history")


def brush(shown: hosts.Shown) -> None:
    """Type a length that leaves some records out."""
    low = shown.part("section-length").get_by_test_id("low")
    low.fill("50")
    low.press("Enter")


def test_the_quickstart_runs_as_a_script(repo, home_env, tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "error", str(repo / "notebooks/quickstart.py")],
        env={**home_env, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=120,
        check=True,
    )  # fmt: skip
    assert run.stderr == ""
    lines = run.stdout.splitlines()
    assert lines[0] == "200 records added; datasets: ['promoters/first']"
    assert "24 records: assay__log2_activity > 2.5 and sequence has" in run.stdout
    assert "10 records exported; 0 findings" in lines
    assert lines[-1].endswith("tombstone")


def test_the_quickstart_under_marimo(repo, home_env, browser, tmp_path):
    port, log = free_port(), tmp_path / "marimo.txt"
    command = [
        sys.executable, "-m", "marimo", "run", str(repo / "notebooks/quickstart.py"),
        "--headless", "--no-token", "--no-sandbox", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    env = {**home_env, "TMPDIR": str(tmp_path)}
    with running(command, log, env=env, stdin=subprocess.DEVNULL) as process:
        wait_for_server(process, log, port, "/health")
        page, watch = hosts.new_page(browser)
        page.goto(f"http://127.0.0.1:{port}/")
        shown = {name: hosts.show(page, watch, "marimo", name) for name in PANELS}
        expect(shown["sequences"].part("records")).to_have_text("24 records")
        shown["filter"].part("clear").click()
        expect(shown["sequences"].part("records")).to_have_text("199 records")
        brush(shown["filter"])
        expect(shown["sequences"].part("records")).not_to_have_text("199 records")
        kept = shown["filter"].part("count").inner_text().split()[0]
        expect(shown["sequences"].part("records")).to_have_text(f"{kept} records")
        assert watch.found == []
        page.context.close()


def test_the_quickstart_in_jupyterlab(repo, jupyter, browser):
    source = (repo / "notebooks/jupyter_quickstart.ipynb").read_text("utf-8")
    made = json.loads(source)
    assert all(not c.get("outputs") for c in made["cells"]), "committed without outputs"
    (jupyter.folder / "quickstart.ipynb").write_text(source, "utf-8")
    page, watch = hosts.new_page(browser)
    hosts.open_in_jupyter(page, jupyter.address, "quickstart.ipynb")
    shown = {name: hosts.show(page, watch, "jupyter", name) for name in PANELS}
    kept = shown["filter"].part("count").inner_text().split()[0]
    expect(shown["sequences"].part("records")).to_have_text(f"{kept} records")
    shown["filter"].part("clear").click()
    expect(shown["sequences"].part("records")).to_have_text("200 records")
    brush(shown["filter"])
    expect(shown["filter"].part("chip")).to_have_count(1)
    kept = shown["filter"].part("count").inner_text().split()[0]
    expect(shown["sequences"].part("records")).to_have_text(f"{kept} records")
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert watch.found == []
    page.context.close()
