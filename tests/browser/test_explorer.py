"""The explorer in a real browser: it draws the demo library, and all of it follows the filter.

Every count is compared with one made here from the demo's CSV by pandas and `re`.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import wait_until

CHARTS = ("length", "gc", "gc-length", "number", "nulls")
LEXA = "CTGNNNNNNNNNNCAG"
BAR = re.compile(r"^([\d,]+)(?: to (?:below )?([\d,]+))?: ([\d,]+) of ([\d,]+) rows$")


@pytest.fixture(scope="module")
def library(repo) -> pd.DataFrame:
    frame = pd.read_csv(repo / "demo_material/demo_library.csv.gz")
    upper = frame["sequence"].str.upper()
    # As a fraction of the length: the demo has no other letters than ACGT.
    frame["gc"] = (upper.str.count("G") + upper.str.count("C")) / frame["sequence"].str.len()
    # LexA's half sites are each other's reverse complement: one strand finds both.
    frame["lexa"] = upper.str.contains("CTG.{10}CAG", regex=True)
    return frame


def wait_for_charts(page: Page) -> None:
    for name in CHARTS:
        page.locator(f"[data-testid=chart-{name}] svg.marks").wait_for()


def field(page: Page, name: str):
    return page.locator(f"[data-testid={name}]").locator("input, select").first


def counts(page: Page):
    return page.locator("[data-testid=counts]")


def bars(page: Page, chart: str) -> dict[int, tuple[int, int]]:
    """Return {first value of the bin: (matching rows, rows)} as a screen reader is told."""
    found = {}
    marks = page.locator(f"[data-testid=chart-{chart}] svg.marks [aria-label]")
    for label in marks.evaluate_all("found => found.map(e => e.getAttribute('aria-label'))"):
        if match := BAR.match(label):
            start, _, matching, rows = (int((g or "0").replace(",", "")) for g in match.groups())
            found[start] = (matching, rows)
    return found


def lengths_in_bins(lengths: pd.Series) -> Counter[int]:
    return Counter(math.floor(n / 10) * 10 for n in lengths)


def counted(hits: int) -> str:
    return f"All 20,000 rows; {hits:,} match ({100 * hits / 20_000:.1f} %)"


def panel_part(page: Page, name: str):
    return page.get_by_test_id("usr-nb-filter").get_by_test_id(name)


def find(page: Page, how: str, text: str) -> None:
    """Add a test to the filter: a motif, an expression, a text in the sequence."""
    section = panel_part(page, "section-sequence")
    section.get_by_test_id("how").select_option(how)
    section.get_by_test_id("find").fill(text)
    section.get_by_test_id("add").click()


def test_the_demo_library_is_drawn_and_reacts_to_every_filter(page, library):
    # A sample is drawn, and says so; the filter itself counts all records.
    wait_for_charts(page)
    expect(counts(page)).to_have_text(counted(20_000))
    field(page, "size").fill("2000")
    field(page, "size").press("Enter")
    expect(counts(page)).to_have_text("2,000 of 20,000 rows, seed 7; 2,000 match (100.0 %)")
    expect(panel_part(page, "count")).to_have_text("20,000 of 20,000 (100.0 %)")
    for name in CHARTS:
        expect(page.locator(f"[data-testid=chart-{name}] svg.marks path").first).to_be_attached()
    # The charts are drawn after the line is.
    wait_until(
        lambda: sum(rows for _, rows in bars(page, "length").values()) == 2_000, what="the charts"
    )
    drawn = bars(page, "length")
    assert all(matching == rows for matching, rows in drawn.values())
    expect(page.locator("[data-testid=of]")).to_contain_text("rows 1–20 of 2,000 matching")
    # The table holds one page, never the whole sample.
    expect(page.locator("table tbody tr")).to_have_count(20)

    # Everything at once, so that counts can be compared with the file. Another sample leaves the
    # filter as it is.
    find(page, "motif", LEXA)
    expect(counts(page)).to_contain_text("2,000 of 20,000 rows")
    field(page, "size").fill(str(len(library)))
    field(page, "size").press("Enter")
    expect(panel_part(page, "chip")).to_have_count(1)
    motif_step(page, library)
    length_step(page, library)
    regex_and_gc_step(page, library)

    # A bad pattern is explained, and does no harm.
    before = counts(page).inner_text()
    find(page, "regex", "TT(")
    expect(panel_part(page, "error")).to_contain_text("missing )")
    expect(counts(page)).to_have_text(before)


def motif_step(page, library):
    hits = library[library["lexa"]]
    expect(counts(page)).to_have_text(counted(len(hits)))
    expect(panel_part(page, "count")).to_contain_text(f"{len(hits):,} of 20,000")
    expected, everything = lengths_in_bins(hits["length"]), lengths_in_bins(library["length"])
    told = f"60 to 69: {expected[60]:,} of {everything[60]:,} rows"
    expect(page.locator(f"[data-testid=chart-length] [aria-label='{told}']").first).to_be_attached()
    drawn = {start: pair for start, pair in bars(page, "length").items() if pair[1]}
    assert drawn == {start: (expected[start], everything[start]) for start in everything}
    expect(page.locator("[data-testid=of]")).to_contain_text(f"of {len(hits):,} matching")
    records = page.get_by_test_id("usr-nb-sequences").get_by_test_id("records")
    expect(records).to_have_text(f"{len(hits):,} records")
    panel_part(page, "clear").click()
    expect(counts(page)).to_have_text(counted(len(library)))


def length_step(page, library):
    low = panel_part(page, "section-length").get_by_test_id("low")
    low.fill("61")
    low.press("Enter")
    hits = int((library["length"] >= 61).sum())
    assert 0 < hits < 10_000
    expect(counts(page)).to_have_text(counted(hits))
    panel_part(page, "undo").click()
    expect(counts(page)).to_have_text(counted(len(library)))


def regex_and_gc_step(page, library):
    find(page, "regex", "^[AT]{4}.*TATAAT")
    pattern = re.compile("^[AT]{4}.*TATAAT")
    found = library["sequence"].map(lambda s: bool(pattern.search(s)))
    expect(counts(page)).to_have_text(counted(int(found.sum())))
    high = panel_part(page, "section-gc").get_by_test_id("high")
    high.fill("40 %")
    high.press("Enter")
    hits = int((found & (library["gc"] <= 0.4)).sum())
    assert 0 < hits < found.sum()
    expect(counts(page)).to_have_text(counted(hits))


def test_another_dataset_and_a_file_of_ones_own(page, tmp_path):
    field(page, "dataset").select_option(label="densegen/demo")
    expect(counts(page)).to_have_text("All 36 rows; 36 match (100.0 %)")
    field(page, "dataset").select_option(index=2)
    expect(page.get_by_text("Name a .parquet file")).to_be_visible()
    file = tmp_path / "my <b>own.parquet"
    pd.DataFrame({"sequence": ["ACGT", "GGCC", None], "score": [0.5, None, 2.0]}).to_parquet(file)
    field(page, "path").fill(str(file))
    field(page, "path").press("Enter")
    expect(counts(page)).to_have_text("All 3 rows; 3 match (100.0 %)")
    # The filter is over the file; there is no dataset to save it with.
    expect(panel_part(page, "title")).to_have_count(0)
    expect(panel_part(page, "save")).to_be_hidden()
    fold = panel_part(page, "section-score").get_by_test_id("fold")
    panel_part(page, "group-record").locator("summary").click()
    fold.click()
    low = panel_part(page, "section-score").get_by_test_id("low")
    low.fill("1")
    low.press("Enter")
    expect(counts(page)).to_have_text("All 3 rows; 1 match (33.3 %)")
    field(page, "path").fill(str(tmp_path / "<b>none.parquet"))
    field(page, "path").press("Enter")
    expect(page.get_by_text("<b>none.parquet: no such file")).to_be_visible()


def test_dark_and_narrow_it_fits(page):
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 800, "height": 1100})
    field(page, "dataset").select_option(label="promoters/sos")
    wait_for_charts(page)
    expect(page.locator("body")).to_have_class(re.compile(r"\bdark\b"))
    for name in CHARTS:
        box = page.locator(f"[data-testid=chart-{name}]").bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 800
        # Drawn on the page's own ground, with light letters on it.
        label = page.locator(f"[data-testid=chart-{name}] svg.marks text").first
        fill = label.evaluate("e => getComputedStyle(e).fill")
        assert min(map(int, re.findall(r"\d+", fill)[:3])) > 100, fill


def test_a_root_without_datasets_says_what_to_do(repo, home_env, tmp_path):
    run = subprocess.run(
        [sys.executable, str(repo / "notebooks/explorer.py"), "--root", str(tmp_path)],
        env=home_env, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "There is no dataset in" in run.stdout
    assert "usr demo" in run.stdout
    assert run.stderr == ""


def test_the_app_is_importable_and_summarizes_as_a_script(repo, home_env, demo_root, tmp_path):
    code = "import explorer; print(type(explorer.app).__name__)"
    env = {**home_env, "PYTHONPATH": f"{repo}:{repo / 'notebooks'}"}
    imported = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=env, capture_output=True,
        text=True, timeout=60, check=True,
    )  # fmt: skip
    assert imported.stdout == "App\n"
    script = [sys.executable, str(repo / "notebooks/explorer.py"), "--root", str(demo_root)]
    run = subprocess.run(
        [*script, "--dataset", "sos"], env=home_env, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    first = "promoters/sos: All 20,000 rows; 20,000 match (100.0 %)"
    assert run.stdout.splitlines()[0] == first
    assert run.stderr == ""
