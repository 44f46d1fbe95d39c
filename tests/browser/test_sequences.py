"""The sequence view in marimo and in JupyterLab: real gestures, compared with what pandas reads."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import expect

from tests.browser import hosts, library
from usr_nb import Dataset

JALVIEW = {"A": (100, 247, 63), "C": (255, 179, 64), "G": (235, 65, 60), "T": (60, 136, 238)}
IGV = {"A": (0, 200, 0), "C": (0, 0, 200), "G": (209, 113, 5), "T": (255, 0, 0)}
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    library.build(folder)
    return folder


@pytest.fixture(scope="module")
def open_panel(browser, serve_app, jupyter, root):
    """Open the panel of a dataset in a host; the page is closed at the end of the module."""
    pages = []

    def open_one(host: str, dataset: str, **how) -> hosts.Shown:
        page, watch = hosts.new_page(browser, **how)
        pages.append(page)
        if host == "marimo":
            hosts.open_in_marimo(page, serve_app("sequences", root), dataset)
        else:
            cells = [
                f"from usr_nb import Dataset, panel\nds = Dataset.open({str(root)!r}, {dataset!r})",
                "panel.sequences(ds)",
            ]
            notebook = hosts.write_notebook(jupyter.folder, f"sequences{len(pages)}", cells)
            hosts.open_in_jupyter(page, jupyter.address, notebook)
        return hosts.show(page, watch, host, "sequences")

    yield open_one
    for page in pages:
        page.context.close()


@pytest.fixture(scope="module", params=["marimo", "jupyter"])
def opened(request, open_panel) -> hosts.Shown:
    return open_panel(request.param, library.NAME)


@pytest.fixture
def shown(opened) -> hosts.Shown:
    """The panel, put back to how it opens; what the page did wrong fails the test."""
    for name, value in (("align", "start"), ("against", "nothing"), ("track", ""),
                        ("mismatches", "0"), ("colours-nt", "jalview")):  # fmt: skip
        opened.part(name).select_option(value)
    opened.part("features").select_option(index=1)
    opened.part("motif").fill("")
    opened.part("motif").press("Enter")
    if opened.part("turn").get_attribute("aria-pressed") == "true":
        opened.part("turn").click()
    opened.part("scroll").focus()
    for key in ("Control+Home", "Home"):
        opened.part("scroll").press(key)
    expect(opened.part("where")).to_contain_text("rows 1–")
    yield opened
    assert opened.watch.found == []


@pytest.fixture(scope="module")
def records(root) -> pd.DataFrame:
    return library.frame(root)


def geometry(shown: hosts.Shown) -> dict[str, float]:
    return json.loads(shown.panel.get_attribute("data-geometry") or "{}")


def where_is(shown: hosts.Shown, row: int, coordinate: int) -> tuple[float, float]:
    """The middle of a letter, in the page."""
    g, box = geometry(shown), shown.part("scroll").bounding_box()
    assert box
    x = box["x"] + g["gutter"] + (coordinate - g["left"] + 0.5) * g["letter"]
    return x, box["y"] + g["ruler"] + (row - g["top"]) * g["row"] + 10


def hover(shown: hosts.Shown, row: int, coordinate: int):
    shown.part("scroll").scroll_into_view_if_needed()
    shown.page.mouse.move(*where_is(shown, row, coordinate))
    return shown.part("tip")


def visible(shown: hosts.Shown) -> int:
    """Whole letters that are visible, from what the foot says."""
    expect(shown.part("where")).to_contain_text("letters")
    text = shown.part("where").inner_text()
    match = re.search(r"letters \+?1 to \+?([\d,]+)", text)
    assert match, text
    return int(match[1].replace(",", ""))


PIXEL = """([canvas, x, y]) => {
    const ratio = canvas.width / canvas.clientWidth;
    return [...canvas.getContext('2d').getImageData(x * ratio, y * ratio, 1, 1).data].slice(0, 3);
}"""


def colour(shown: hosts.Shown, row: int, coordinate: int) -> tuple[int, ...]:
    """The colour in a corner of a letter's cell, where no ink is."""
    g = geometry(shown)
    x = g["gutter"] + (coordinate - g["left"]) * g["letter"] + 0.6
    y = g["ruler"] + (row - g["top"]) * g["row"] + 3.5
    handle = shown.part("canvas").element_handle()
    return tuple(shown.page.evaluate(PIXEL, [handle, x, y]))


def test_letters_and_colours_are_those_of_the_file(shown, records):
    expect(shown.part("records")).to_have_text("300 records")
    first = records["sequence"][0]
    count = visible(shown)
    expect(shown.part("row-letters")).to_have_text(first[:count])
    for at in range(12):
        assert colour(shown, 0, at) == JALVIEW[first[at]], at
    shown.part("colours-nt").select_option("igv")
    for at in range(8):
        expect(shown.part("where")).to_contain_text("rows 1–")
        shown.page.wait_for_function(
            "([c, want]) => c.getContext('2d').getImageData(c.width / c.clientWidth * "
            "want.x, c.width / c.clientWidth * want.y, 1, 1).data[0] === want.red",
            arg=[
                shown.part("canvas").element_handle(),
                {"x": geometry(shown)["gutter"] + at * 10 + 0.6, "y": 27.5,
                 "red": IGV[first[at]][0]},
            ],
        )  # fmt: skip
        assert colour(shown, 0, at) == IGV[first[at]]


def test_the_tooltip_counts_from_one_and_from_zero(shown, records):
    text = records["sequence"][1]
    tip = hover(shown, 1, 11)
    expect(tip).to_contain_text(f"{text[11]} at 12 of {len(text)} (0-based 11)")


def test_scrolling_and_keys_reach_every_record(shown, records):
    scroll = shown.part("scroll")
    box = scroll.bounding_box()
    assert box
    shown.page.mouse.move(box["x"] + 400, box["y"] + 200)
    shown.page.mouse.wheel(0, 44 * 100)
    expect(shown.part("where")).to_contain_text("rows 101–")
    tip = hover(shown, 103, 4)
    expect(tip).to_contain_text(f"{records['sequence'][103][4]} at 5 of")
    scroll.press("Control+End")
    expect(shown.panel).to_have_attribute("data-selected", "299")
    count = visible(shown)
    expect(shown.part("row-letters")).to_have_text(records["sequence"][299][:count])
    live = f"id {records['id'][299][:8]}, {records['length'][299]} nt, letters 1 to {count}"
    expect(shown.part("live")).to_contain_text(live)
    scroll.press("ArrowUp")
    expect(shown.panel).to_have_attribute("data-selected", "298")
    scroll.press("End")
    expect(shown.part("where")).to_contain_text("to 160")
    scroll.press("Home")
    # Dragging the bar is a scroll of the element.
    scroll.evaluate("e => { e.scrollTop = 0; }")
    expect(shown.part("where")).to_contain_text("rows 1–")


def test_go_to_an_id_or_a_row(shown, records):
    shown.part("go").fill(records["id"][200][:9])
    shown.part("go").press("Enter")
    expect(shown.panel).to_have_attribute("data-selected", "200")
    expect(shown.part("live")).to_contain_text(records["id"][200][:8])
    shown.part("go").fill("17")
    shown.part("go").press("Enter")
    expect(shown.panel).to_have_attribute("data-selected", "16")
    shown.part("go").fill("fffffffff")
    shown.part("go").press("Enter")
    expect(shown.part("error")).to_contain_text("fffffffff")
    shown.part("go").fill("1")
    shown.part("go").press("Enter")
    expect(shown.part("error")).to_be_hidden()


def test_rows_are_aligned_by_end_by_feature_and_by_column(shown, records, root):
    text = records["sequence"][0]
    shown.part("align").select_option("end")
    expect(shown.part("where")).to_contain_text("to −1")
    tip = hover(shown, 0, -3)
    expect(tip).to_contain_text(f"{text[-3]} at {len(text) - 2} of {len(text)}")
    expect(tip).to_contain_text("−3 on the ruler")

    tss = int(library.overlay(root, "lab")["lab__tss"][records["id"][3]])
    shown.part("align").select_option("column lab__tss")
    tip = hover(shown, 3, 0)
    expect(tip).to_contain_text(f"at {tss + 1} of")
    expect(tip).to_contain_text("+1 on the ruler")
    tip = hover(shown, 3, -1)
    expect(tip).to_contain_text("−1 on the ruler")
    expect(tip).to_contain_text(f"(0-based {tss - 1})")

    sites = library.overlay(root, "densegen")["densegen__used_tfbs_detail"][records["id"][1]]
    start = min(s["offset"] for s in sites if s["tf"] == "LEXA")
    shown.part("align").select_option("feature LEXA")
    tip = hover(shown, 1, 0)
    expect(tip).to_contain_text(f"(0-based {start})")
    expect(tip).to_contain_text("LEXA")


def test_features_are_told_with_their_strand(shown, records, root):
    sites = library.overlay(root, "densegen")["densegen__used_tfbs_detail"]
    for row in (0, 4):
        for site in sites[records["id"][row]]:
            start = int(site["offset"])
            end = start + len(site["tfbs"])
            if start >= visible(shown):
                continue
            mark = "◂" if site["orientation"] == "rev" else "▸"
            said = f"{site['tf']} {start + 1}–{end}, 0-based [{start}, {end}) {mark}"
            expect(hover(shown, row, start)).to_contain_text(said)
    shown.part("features").select_option("")
    tip = hover(shown, 0, 5)
    expect(tip).to_contain_text("at 6 of")
    expect(tip).not_to_contain_text("cpxR")


def test_why_of_a_cell_by_key_and_by_mouse(shown, records, root):
    sites = library.overlay(root, "densegen")["densegen__used_tfbs_detail"]
    shown.page.mouse.click(*where_is(shown, 1, 5))
    expect(shown.panel).to_have_attribute("data-selected", "1")
    shown.part("scroll").press("w")
    told = shown.part("why-value")
    expect(told).to_contain_text(f"densegen__used_tfbs_detail of {records['id'][1][:8]} is")
    expect(shown.part("why-step").first).to_contain_text("decides")
    # The column has the focus: another one is a few letters away.
    expect(shown.part("why-column")).to_be_focused()
    shown.page.keyboard.type("lab__score")
    shown.page.keyboard.press("Enter")
    score = float(library.overlay(root, "lab")["lab__score"][records["id"][1]])
    expect(told).to_have_text(f"lab__score of {records['id'][1][:8]} is {score!r}")
    shown.page.keyboard.press("Escape")
    expect(told).to_be_hidden()
    expect(shown.part("scroll")).to_be_focused()
    start = next(int(s["offset"]) for s in sites[records["id"][4]] if s["offset"] < 40)
    shown.page.mouse.dblclick(*where_is(shown, 4, start))
    expect(told).to_contain_text(f"densegen__used_tfbs_detail of {records['id'][4][:8]} is")
    shown.part("features").select_option("")
    shown.part("scroll").focus()
    shown.page.mouse.dblclick(*where_is(shown, 2, 7))
    expect(told).to_contain_text(f"sequence of {records['id'][2][:8]} is")
    shown.part("why-column").press("Escape")


def test_a_track_shows_a_number_per_letter(shown, records, root):
    values = library.overlay(root, "lab")["lab__signal"][records["id"][2]]
    shown.part("track").select_option("lab__signal")
    expect(hover(shown, 2, 7)).to_contain_text(f"lab__signal: {float(f'{values[7]:.4g}'):g}"[:16])


def test_motif_hits_on_both_strands(shown, records):
    motif = "GGNCC"
    shown.part("motif").fill(motif)
    shown.part("motif").press("Enter")
    count = visible(shown)
    found = [(row, m.start()) for row in range(6)
             for m in re.finditer("(?=GG[ACGT]CC)", records["sequence"][row])
             if m.start() < count]  # fmt: skip
    assert found
    for row, start in found:
        said = f"motif {start + 1}–{start + 5}, 0-based [{start}, {start + 5})"
        expect(hover(shown, row, start)).to_contain_text(said)
    shown.part("motif").fill("GGN{")
    shown.part("motif").press("Enter")
    expect(shown.part("error")).to_contain_text("at position 4 is not allowed")
    shown.part("motif").fill("")
    shown.part("motif").press("Enter")
    expect(shown.part("error")).to_be_hidden()


def test_dots_against_a_record_and_against_the_parent(shown, records):
    first, other = records["sequence"][0], records["sequence"][2]
    shown.part("against").select_option("record")
    expect(hover(shown, 2, 6)).to_contain_text(f"compared with {first[6]}")
    same = next(i for i in range(60) if first[i] == other[i])
    assert colour(shown, 2, same) not in JALVIEW.values()
    differs = next(i for i in range(60) if first[i] != other[i])
    assert colour(shown, 2, differs) == JALVIEW[other[differs]]
    shown.part("against").select_option("parent")
    parent = records["sequence"][4]
    expect(hover(shown, 5, 3)).to_contain_text(f"compared with {parent[3]}")
    expect(hover(shown, 1, 3)).not_to_contain_text("compared")


def test_c_copies_fasta_and_r_turns(shown, records):
    scroll = shown.part("scroll")
    shown.page.mouse.click(*where_is(shown, 1, 5))
    expect(shown.panel).to_have_attribute("data-selected", "1")
    scroll.press("c")
    expect(shown.part("said")).to_have_text("Copied 1 as FASTA")
    lines = shown.page.evaluate("navigator.clipboard.readText()").splitlines()
    assert lines[0] == f">{records['id'][1]} probe 1"
    assert "".join(lines[1:]) == records["sequence"][1]

    scroll.press("r")
    expect(shown.part("where")).to_contain_text("· RC")
    turned = records["sequence"][1][::-1].translate(COMPLEMENT)
    expect(shown.part("row-letters")).to_have_text(turned[: visible(shown)])
    expect(hover(shown, 1, 0)).to_contain_text("(RC)")
    expect(shown.part("tip")).to_contain_text(f"at {len(turned)} of {len(turned)}")
    scroll.press("Shift+ArrowDown")
    scroll.press("c")
    expect(shown.part("said")).to_have_text("Copied 2 as FASTA (RC)")
    entries = shown.page.evaluate("navigator.clipboard.readText()").removeprefix(">").split("\n>")
    assert [e.splitlines()[0][-2:] for e in entries] == ["RC", "RC"]
    assert "".join(entries[0].splitlines()[1:]) == turned
    scroll.press("i")
    expect(shown.part("said")).to_have_text(f"Copied {records['id'][2]}")


def test_a_name_that_looks_like_html_is_text(shown, records):
    box = shown.part("scroll").bounding_box()
    assert box
    _, y = where_is(shown, 2, 0)
    shown.page.mouse.move(box["x"] + 30, y)
    expect(shown.part("tip")).to_contain_text(library.HOSTILE)
    assert shown.panel.locator("img").count() == 0
    assert shown.page.evaluate("window.hacked") is None


def test_its_keys_reach_nobody_else(shown):
    scroll = shown.part("scroll")
    for key in ("d", "d", "x", "?"):
        scroll.press(key)
    expect(shown.part("keys")).to_be_visible()
    scroll.press("Escape")
    expect(shown.part("keys")).to_be_hidden()
    if shown.host == "jupyter":
        cells = shown.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")
        assert cells == 2
    expect(shown.panel).to_be_visible()


def test_pages_are_small_and_painted_at_once(shown):
    shown.page.evaluate("performance.clearMeasures()")
    box = shown.part("scroll").bounding_box()
    assert box
    shown.page.mouse.move(box["x"] + 400, box["y"] + 200)
    for _ in range(8):
        before = shown.painted()
        shown.page.mouse.wheel(0, 1200)
        shown.page.wait_for_function(
            "([e, before]) => Number(e.dataset.painted) > before",
            arg=[shown.panel.element_handle(), before],
        )
    times = shown.page.evaluate("performance.getEntriesByName('usr-nb:paint').map(e => e.duration)")
    assert len(times) >= 8
    assert sorted(times)[len(times) // 2] <= 50, times
    assert int(shown.panel.get_attribute("data-largest") or 0) <= 100_000


@pytest.mark.parametrize("host", ["marimo", "jupyter"])
def test_it_notices_that_the_dataset_changed(host, open_panel, root):
    copied = f"copies/{host}"
    shutil.copytree(root / library.NAME, root / copied)
    meta = root / copied / "meta.md"
    meta.write_text(meta.read_text().replace(f"name: {library.NAME}", f"name: {copied}"))
    shown = open_panel(host, copied)
    expect(shown.part("records")).to_have_text("300 records")
    ds = Dataset.open(root, copied)
    ds.add_sequences([{"sequence": "ACGT" * 12}], bio_type="dna", alphabet="dna_4")
    expect(shown.part("records")).to_have_text("301 records")
    expect(shown.part("said")).to_contain_text("The dataset changed")
    ds.tombstone([str(library.frame(root, copied)["id"][0])], reason="test")
    expect(shown.part("records")).to_have_text("300 records")
    second = library.frame(root, copied)["sequence"][1]
    expect(shown.part("row-letters")).to_have_text(second[: visible(shown)])
    assert shown.watch.found == []


@pytest.mark.parametrize("host", ["marimo", "jupyter"])
def test_dark_narrow_proteins(host, open_panel, root):
    shown = open_panel(host, library.PROTEINS, dark=True, width=700)
    if host == "jupyter":
        shown.page.evaluate(
            "window.jupyterapp.commands.execute('apputils:change-theme', "
            "{ theme: 'JupyterLab Dark' })"
        )
    expect(shown.panel).to_have_attribute("data-theme", "dark")
    ground = shown.panel.evaluate("e => getComputedStyle(e).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground)[:3])) < 60
    assert shown.panel.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    text = library.frame(root, library.PROTEINS)["sequence"][0]
    expect(shown.part("row-letters")).to_have_text(text[: visible(shown)])
    expect(shown.part("colours-nt")).to_be_hidden()
    shown.part("colours-aa").select_option("zappo")
    expect(shown.part("live")).to_contain_text(f"{len(text)} aa")
    shown.part("turn").click()
    expect(shown.part("said")).to_have_text("Proteins have no reverse complement.")
    assert shown.watch.found == []
