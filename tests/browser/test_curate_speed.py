"""Reviewing a million records by keyboard, timed in the browser: from the key to the next record.

The figures are in docs/panels.md. Nightly: making the dataset takes a minute.
"""

from __future__ import annotations

from statistics import median

import pytest
from playwright.sync_api import expect

from tests.browser import hosts, test_filter_speed
from usr_nb import Dataset

KEYS = 60
KEY_MS = 50
LONGEST_MS = 500

pytestmark = pytest.mark.nightly
root = test_filter_speed.root

#: From the key to the frame after the one in which another record stands in the card.
WATCH = """() => {
    const panel = document.querySelector('.usr-nb-curate') ?? [...document.querySelectorAll('*')]
        .map((e) => e.shadowRoot?.querySelector('.usr-nb-curate')).find(Boolean);
    window.took = [];
    panel.addEventListener('keydown', (event) => {
        const begun = event.timeStamp, place = panel.dataset.place;
        const look = () => requestAnimationFrame(() => {
            if (panel.dataset.place === place) return look();
            requestAnimationFrame(() => window.took.push(performance.now() - begun));
        });
        look();
    }, true);
}"""


@pytest.mark.parametrize("host", ["marimo", "jupyter"])
def test_a_million_records_are_reviewed_without_waiting(host, browser, serve_app, jupyter, root):
    page, watch = hosts.new_page(browser)
    ds = Dataset.open(root, test_filter_speed.NAME)
    if host == "marimo":
        page.goto(f"{serve_app('writing', root)}?root={root}&dataset={ds.name}&panel=curate")
    else:
        cell = f"from usr_nb import Dataset, panel\nds = Dataset.open({str(root)!r}, {ds.name!r})"
        notebook = hosts.write_notebook(jupyter.folder, "million", [cell, "panel.curate(ds)"])
        hosts.open_in_jupyter(page, jupyter.address, notebook)
    shown = hosts.show(page, watch, host, "curate")
    total = ds.info().rows_live
    expect(shown.part("where")).to_contain_text(f" of {total:,}")
    page.evaluate(WATCH)
    shown.part("record").focus()
    for n in range(KEYS):
        page.keyboard.press("pfw"[n % 3])
        page.wait_for_function("n => window.took.length > n", arg=n)
    took = page.evaluate("window.took")
    shown.page.keyboard.press("g")
    expect(shown.part("unsaved")).to_have_text("", timeout=60_000)
    print(f"{host}: key to next record of {total:,}: median {median(took):.0f} ms, "
          f"95 % {sorted(took)[int(0.95 * len(took))]:.0f}, longest {max(took):.0f}")  # fmt: skip
    states = [r["qc_status"] for r in ds.get_state(ds.head_table(KEYS, ["id"])["id"].to_pylist())]
    assert states == [{"p": "pass", "f": "fail", "w": "warn"}["pfw"[n % 3]] for n in range(KEYS)]
    assert median(took) <= KEY_MS, took
    assert max(took) <= LONGEST_MS, took
    assert watch.found == []
    page.context.close()
