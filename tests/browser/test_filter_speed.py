"""A brush over a million records, with vector and string overlays, timed in the browser.

The figures are in docs/panels.md. Nightly: making the dataset and waiting for it take a minute.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import expect

from tests.browser import hosts
from tests.browser.test_filter import JUPYTER
from usr_nb import Dataset, register_namespace

ROWS = 1_000_000
NAME = "big/one"
FIRST_PAINT_MS = 1_000
BRUSH_MS = 100
KERNEL_KIB = 1 << 20

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("big")
    register_namespace(root, namespace="emb", columns="emb__vec:fixed_size_list<float32>[16]")
    register_namespace(root, namespace="lab", columns="lab__batch:string,lab__score:float64")
    ds = Dataset.open(root, NAME)
    ds.init()
    rng = np.random.default_rng(1)
    letters = rng.choice(np.frombuffer(b"ACGT", np.uint8), (ROWS, 60)).tobytes()
    sizes = rng.integers(40, 61, ROWS)
    texts = [letters[i * 60 : i * 60 + int(n)].decode() for i, n in enumerate(sizes)]
    ds.add_sequences(
        pa.table({"sequence": texts}), bio_type="dna", alphabet="dna_4", on_conflict="ignore"
    )
    ids = pa.concat_arrays([b.column(0) for b in ds.scan(["id"])])
    n = len(ids)
    ds.write_overlay_part("lab", pa.table({
        "id": ids, "batch": rng.choice(["a", "b", "c", "d"], n), "score": rng.normal(0, 1, n),
    }))  # fmt: skip
    numbers = pa.array(rng.normal(0, 1, n * 16).astype(np.float32))
    vectors = pa.FixedSizeListArray.from_arrays(numbers, 16)
    ds.write_overlay_part("emb", pa.table({"id": ids, "vec": vectors}))
    return root


@pytest.mark.parametrize("host", ["marimo", "jupyter"])
def test_a_brush_over_a_million_records(host, browser, serve_app, jupyter, root):
    page, watch = hosts.new_page(browser)
    if host == "marimo":
        hosts.open_in_marimo(page, serve_app("filter", root), NAME)
    else:
        cell = JUPYTER.format(root=str(root), name=NAME, log=str(root / "runs.txt"))
        cell += "\nimport os\nPath(ds.root, 'kernel.txt').write_text(str(os.getpid()))"
        notebook = hosts.write_notebook(jupyter.folder, "speed", [cell, "flt"])
        hosts.open_in_jupyter(page, jupyter.address, notebook)
    shown = hosts.show(page, watch, host, "filter")
    expect(shown.panel).to_have_attribute("data-settled", "true")
    first = float(shown.panel.get_attribute("data-first") or "inf")

    def unfold(group: str, name: str):
        details = shown.part(f"group-{group}")
        if details.get_attribute("open") is None:
            details.locator("summary").click()
        section = shown.part(f"section-{name}")
        section.get_by_test_id("fold").click()
        expect(section).to_have_attribute("data-loading", "false")
        return section

    unfold("lab", "lab__batch")
    unfold("emb", "emb__vec").get_by_test_id("reducer").select_option("mean")
    expect(shown.part("section-emb__vec")).to_have_attribute("data-loading", "false")
    score = unfold("lab", "lab__score")
    into = shown.part("section-lab__batch").get_by_test_id("in").first
    into.click()
    expect(shown.part("chip")).to_have_count(1)
    box = score.get_by_test_id("hist").bounding_box()
    assert box
    took = []
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 30)
    page.mouse.down()
    for i in range(24):
        before = shown.panel.get_attribute("data-counted")
        page.mouse.move(box["x"] + (0.25 + 0.025 * i) * box["width"], box["y"] + 30)
        page.wait_for_function(
            "([e, before]) => e.dataset.counted !== before",
            arg=[shown.panel.element_handle(), before],
        )
        took.append(float(shown.panel.get_attribute("data-took") or "inf"))
    page.mouse.up()
    status = Path("/proc", (root / "kernel.txt").read_text(), "status").read_text()
    peak = int(next(v for v in status.splitlines() if v.startswith("VmHWM")).split()[1])
    resident = int(next(v for v in status.splitlines() if v.startswith("VmRSS")).split()[1])
    print(f"{host}: first paint {first:.0f} ms, brush median {median(took):.0f} ms "
          f"(max {max(took):.0f}), kernel {resident >> 10} MiB, at most {peak >> 10}")  # fmt: skip
    assert first <= FIRST_PAINT_MS
    assert median(took) <= BRUSH_MS, took
    assert resident <= KERNEL_KIB
    assert watch.found == []
    page.context.close()
