"""Showing one panel in marimo and in JupyterLab, and saying what a person does with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.watch import Watch

TIMEOUT_MS = 30_000


@dataclass
class Shown:
    """A panel in a page, and what the page did that it must not do."""

    page: Page
    watch: Watch
    panel: Locator
    host: str

    def part(self, name: str) -> Locator:
        return self.panel.get_by_test_id(name)

    def painted(self) -> int:
        return int(self.panel.get_attribute("data-painted") or 0)


def new_page(browser: Browser, *, dark: bool = False, width: int = 1280) -> tuple[Page, Watch]:
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        permissions=["clipboard-read", "clipboard-write"],
    )
    page, watch = context.new_page(), Watch()
    page.set_default_timeout(TIMEOUT_MS)
    expect.set_options(timeout=TIMEOUT_MS)
    watch.on(page)
    return page, watch


def show(page: Page, watch: Watch, host: str, name: str) -> Shown:
    """Wait until the panel in the page has taken the place of its summary."""
    panel = page.get_by_test_id(f"usr-nb-{name}")
    expect(panel).to_have_attribute("data-ready", "true")
    return Shown(page, watch, panel, host)


def open_in_marimo(page: Page, address: str, dataset: str) -> None:
    page.goto(f"{address}?dataset={dataset}")


def write_notebook(folder: Path, name: str, cells: list[str]) -> str:
    """Write a notebook for JupyterLab and return its file name."""
    made = {
        "cells": [
            {"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": None,
             "outputs": [], "source": source}
            for i, source in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    (folder / f"{name}.ipynb").write_text(json.dumps(made), "utf-8")
    return f"{name}.ipynb"


_RUN_ALL = """async () => {
    const app = window.jupyterapp;
    await app.restored;
    const current = app.shell.currentWidget;
    await current.context.ready;
    await current.sessionContext.ready;
    app.commands.execute('notebook:run-all-cells');
}"""


def open_in_jupyter(page: Page, address: str, notebook: str) -> None:
    """Open a notebook and run its cells; the "idle" label lies, so the kernel is asked."""
    # A workspace of its own: the default one opens what the last test had open.
    page.goto(f"{address}lab/workspaces/{notebook.removesuffix('.ipynb')}/tree/{notebook}")
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext !== undefined")
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel"
        "?.connectionStatus === 'connected'"
    )
    page.evaluate(_RUN_ALL)
