"""The filter panel in marimo and in JupyterLab: real gestures, compared with what pandas counts.

After each gesture the notebook has to have run once again what follows the panel: the follower
writes a line each time, and the line holds the count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Locator, expect

from tests.browser import filter_library as library, hosts
from tests.browser.conftest import wait_until
from tests.browser.library import HOSTILE
from usr_nb import Dataset, F

JUPYTER = """
from pathlib import Path
from usr_nb import Dataset, panel
ds = Dataset.open({root!r}, {name!r})
log = Path({log!r})
def note():
    with log.open("a") as out:
        out.write(f"{{flt.count}} {{flt.filter.as_line()}}\\n")
flt = panel.filter(ds)
_ = flt.on_filter(note)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("filter")
    library.build(folder)
    return folder


@dataclass
class Filter:
    """The panel, the records as pandas reads them, and the lines of the follower."""

    shown: hosts.Shown
    records: pd.DataFrame
    log: Path

    def part(self, name: str) -> Locator:
        return self.shown.part(name)

    def section(self, name: str, group: str = "lab") -> Locator:
        """A column's section, unfolded, its counts there."""
        details = self.part(f"group-{group}")
        if details.get_attribute("open") is None:
            details.locator("summary").click()
        section = self.part(f"section-{name}")
        fold = section.get_by_test_id("fold")
        if fold.get_attribute("aria-expanded") == "false":
            fold.click()
        section.scroll_into_view_if_needed()
        if name != "sequence":
            expect(section).to_have_attribute("data-loading", "false")
        return section

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def gesture(self, act: Callable[[], object], kept: pd.Series, *, of: int | None = None) -> str:
        """Do something; exactly one run must follow, with the count that pandas has."""
        before = len(self.lines())
        act()
        total = int((~self.records["deleted"]).sum()) if of is None else of
        expected = int(kept.sum())
        share = f"{math.floor(1000 * expected / total + 0.5) / 10:.1f}"
        expect(self.part("count")).to_have_text(f"{expected:,} of {total:,} ({share} %)")
        wait_until(lambda: len(self.lines()) > before, what="the follower")
        new = self.lines()[before:]
        assert [n.split()[0] for n in new] == [str(expected)], new
        return new[0].partition(" ")[2]

    @property
    def live(self) -> pd.Series:
        return ~self.records["deleted"]


@pytest.fixture(scope="module")
def open_panel(browser, serve_app, jupyter, root):
    """Open the panel of a dataset in a host; the page is closed at the end of the module."""
    pages = []

    def open_one(host: str, name: str, **how) -> Filter:
        page, watch = hosts.new_page(browser, **how)
        pages.append(page)
        log = root / f"{name.replace('/', '-')}.runs.txt"
        log.unlink(missing_ok=True)
        if host == "marimo":
            hosts.open_in_marimo(page, serve_app("filter", root), name)
        else:
            first = JUPYTER.format(root=str(root), name=name, log=str(log))
            cells = [first, "flt", "panel.sequences(ds, where=flt)"]
            notebook = hosts.write_notebook(jupyter.folder, f"filter{len(pages)}", cells)
            hosts.open_in_jupyter(page, jupyter.address, notebook)
        shown = hosts.show(page, watch, host, "filter")
        expect(shown.panel).to_have_attribute("data-settled", "true")
        expect(page.get_by_test_id("usr-nb-sequences")).to_have_attribute("data-ready", "true")
        return Filter(shown, library.frame(root, name), log)

    yield open_one
    for page in pages:
        page.context.close()


@pytest.fixture(scope="module", params=["marimo", "jupyter"])
def opened(request, open_panel) -> Filter:
    return open_panel(request.param, library.NAME)


@pytest.fixture
def flt(opened) -> Filter:
    """The panel with no test in it; what the page did wrong fails the test."""
    if opened.part("deleted").is_checked():
        opened.part("deleted").uncheck()
    if opened.part("clear").is_enabled():
        opened.gesture(opened.part("clear").click, opened.live)
    expect(opened.part("chip")).to_have_count(0)
    yield opened
    assert opened.shown.watch.found == []
    assert opened.shown.panel.locator("img").count() == 0
    assert opened.shown.page.evaluate("window.hacked") is None


def drag(flt: Filter, section: Locator, start: float, end: float) -> None:
    """Brush over a histogram, from and to a share of its width."""
    hist = section.get_by_test_id("hist")
    hist.scroll_into_view_if_needed()
    box = hist.bounding_box()
    assert box
    mouse, y = flt.shown.page.mouse, box["y"] + box["height"] / 2
    mouse.move(box["x"] + start * box["width"], y)
    mouse.down()
    mouse.move(box["x"] + end * box["width"], y, steps=6)
    mouse.up()


def ends(line: str) -> tuple[float, float]:
    found = re.search(r"in [\[(]([-\d.e]+), ([-\d.e]+)[\])]", line)
    assert found, line
    return float(found[1]), float(found[2])


def brushed(flt: Filter, section: Locator, start: float, end: float) -> str:
    """Brush, and return the filter's line once the follower has told it."""
    before = len(flt.lines())
    drag(flt, section, start, end)
    wait_until(lambda: len(flt.lines()) > before, what="the follower")
    new = flt.lines()[before:]
    assert len(new) == 1, "one gesture, one run"
    return new[0].partition(" ")[2]


def count(flt: Filter) -> int:
    return int(flt.part("count").inner_text().split()[0].replace(",", ""))


# Numbers ------------------------------------------------------------------------------------------


def test_a_brush_over_lengths_keeps_what_it_covers(flt):
    line = brushed(flt, flt.section("length", "sequence"), 0.25, 0.5)
    low, high = ends(line)
    lengths = flt.records["length"]
    assert count(flt) == (lengths.between(low, high) & flt.live).sum()
    # It covers the bins that were touched, and those alone.
    least, most = 40, 160
    assert abs(low - (least + 0.25 * (most - least))) < 8
    assert abs(high - (least + 0.5 * (most - least))) < 8
    expect(flt.part("chip-line")).to_have_text(line)
    # The next gesture starts from it: the right handle goes one bin to the right, by key.
    handle = flt.section("length", "sequence").get_by_test_id("handle-to")
    before = len(flt.lines())
    handle.press("ArrowRight")
    wait_until(lambda: len(flt.lines()) > before, what="the follower")
    [line] = flt.lines()[before:]
    assert ends(line.partition(" ")[2])[1] > high
    wide = lengths.between(*ends(line)) & flt.live
    assert int(line.split()[0]) == wide.sum()
    flt.gesture(lambda: handle.press("Delete"), flt.live)


def test_gc_is_typed_in_percent_and_shown_so(flt):
    section = flt.section("gc", "sequence")
    expect(section.get_by_test_id("ends")).to_contain_text("%")
    section.get_by_test_id("low").fill("45")
    line = flt.gesture(
        lambda: section.get_by_test_id("low").press("Enter"), flt.live & (flt.records["gc"] >= 0.45)
    )
    assert line == "gc >= 0.45"
    section.get_by_test_id("high").fill("52.5 %")
    inside = flt.records["gc"].between(0.45, 0.525)
    flt.gesture(lambda: section.get_by_test_id("high").press("Enter"), flt.live & inside)
    line = flt.gesture(section.get_by_test_id("outside").click, flt.live & ~inside)
    assert line == "gc outside [0.45, 0.525]"
    flt.gesture(section.get_by_test_id("clear-range").click, flt.live)
    section.get_by_test_id("outside").click()
    section.get_by_test_id("low").fill("many")
    section.get_by_test_id("low").press("Enter")
    expect(flt.part("error")).to_contain_text("“many” is no number")


def test_the_middle_of_the_values_and_a_logarithmic_axis(flt):
    section = flt.section("lab__score")
    score = flt.records["lab__score"]
    section.get_by_test_id("core").click()
    beyond = section.get_by_test_id("beyond")
    expect(beyond).to_contain_text("beyond →")
    shown = int(beyond.inner_text().split()[0])
    assert 1 <= shown <= 4
    # A brush to the right side has no end there: what lies beyond is in.
    line = brushed(flt, section, 0.5, 0.999)
    low = float(re.search(r">= ([-\d.e]+)", line)[1])
    assert count(flt) == (flt.live & (score >= low)).sum()
    assert score[7] == 5_000
    beyond.click()
    expect(beyond).to_have_count(0)
    section.get_by_test_id("log").click()
    expect(section.get_by_test_id("below")).to_contain_text("below")
    told = int(section.get_by_test_id("below").inner_text().split()[1].replace(",", ""))
    assert told == (flt.live & (score <= 0)).sum()
    section.get_by_test_id("log").click()


def test_null_and_nan_are_let_in_or_kept_out(flt):
    section = flt.section("lab__score")
    score = flt.records["lab__score"]
    # pandas cannot tell the two apart; the file can.
    raw = pd.read_parquet(
        next((flt.log.parent / library.NAME / "_derived/lab").glob("*.parquet")),
        dtype_backend="pyarrow",
    ).set_index("id")["lab__score"]
    null = flt.records["id"].map(
        lambda i: raw.array._pa_array[raw.index.get_loc(i)].as_py() is None
    )
    nan = score.isna() & ~null
    assert null.any()
    assert nan.any()
    value = lambda text: section.locator(f"[data-testid=value][data-text='{text}']")  # noqa: E731
    flt.gesture(value("null").get_by_test_id("in").click, flt.live & null)
    flt.gesture(value("NaN").get_by_test_id("in").click, flt.live & (null | nan))
    flt.gesture(value("null").get_by_test_id("out").click, flt.live & nan)
    flt.gesture(value("NaN").get_by_test_id("out").click, flt.live & ~nan & ~null)
    expect(value("null").get_by_test_id("out")).to_have_attribute("aria-pressed", "true")


def test_times_are_brushed_and_typed(flt):
    section = flt.section("lab__when")
    when = flt.records["lab__when"]
    section.get_by_test_id("low").fill("2026-02-01")
    kept = flt.live & (when >= pd.Timestamp("2026-02-01", tz="UTC"))
    flt.gesture(lambda: section.get_by_test_id("low").press("Enter"), kept)
    line = brushed(flt, section, 0.1, 0.4)
    low, high = re.findall(r"2026-[-\dT:.]+Z?", line)
    inside = (when >= pd.Timestamp(low)) & (when < pd.Timestamp(high))
    if when.dt.tz is not None and pd.Timestamp(low).tz is None:
        raise AssertionError(line)
    assert count(flt) == (flt.live & inside).sum()


# Values, text, motifs -----------------------------------------------------------------------------


def test_values_are_chosen_and_kept_out_with_one_click_each(flt):
    section = flt.section("lab__tf")
    tf = flt.records["lab__tf"]
    value = lambda text: section.locator("[data-testid=value]").filter(  # noqa: E731
        has=flt.shown.page.locator(".flt-word", has_text=re.compile(f"^{re.escape(text)}$"))
    )
    counts = tf[flt.live].value_counts()
    expect(value("lexA").get_by_test_id("kept")).to_have_text(f"{counts['lexA']}")
    expect(value(HOSTILE)).to_be_visible()
    flt.gesture(value("lexA").get_by_test_id("in").click, flt.live & (tf == "lexA"))
    both = flt.live & tf.isin(["lexA", "cpxR"])
    flt.gesture(value("cpxR").get_by_test_id("in").click, both)
    # Its own choice does not change what there is to choose, another one does.
    expect(value("lexA").get_by_test_id("kept")).to_have_text(f"{counts['lexA']}")
    flag = flt.section("lab__flag").locator("[data-testid=value][data-text=true]")
    flt.gesture(flag.get_by_test_id("in").click, both & flt.records["lab__flag"].eq(True))
    some = flt.live & (tf == "lexA") & flt.records["lab__flag"].eq(True)
    expect(value("lexA").get_by_test_id("kept")).to_have_text(f"{some.sum()}")
    flt.gesture(flt.part("clear").click, flt.live)
    flt.gesture(value(HOSTILE).get_by_test_id("out").click, flt.live & (tf != HOSTILE))
    flt.gesture(value("null").get_by_test_id("out").click, flt.live & (tf != HOSTILE) & tf.notna())
    # By key: the value that has the keyboard keeps it while counts change.
    into = value("cpxR").get_by_test_id("in")
    into.focus()
    flt.gesture(lambda: flt.shown.page.keyboard.press("Enter"), flt.live & (tf == "cpxR"))
    expect(value("cpxR").get_by_test_id("in")).to_be_focused()


def test_text_and_regex(flt):
    section = flt.section("lab__tf")
    tf = flt.records["lab__tf"].fillna("")
    section.get_by_test_id("find").fill("LEX")
    section.get_by_test_id("nocase").check()
    kept = flt.live & tf.str.contains("lex", case=False, regex=False)
    flt.gesture(section.get_by_test_id("add").click, kept)
    flt.gesture(flt.part("remove").click, flt.live)
    section.get_by_test_id("nocase").uncheck()
    section.get_by_test_id("how").select_option("regex")
    section.get_by_test_id("find").fill("^(lex|cpx)[AR]$")
    section.get_by_test_id("not").check()
    kept = flt.live & ~tf.str.fullmatch("(?:lex|cpx)[AR]")
    flt.gesture(lambda: section.get_by_test_id("find").press("Enter"), kept)
    section.get_by_test_id("not").uncheck()
    before = len(flt.lines())
    section.get_by_test_id("find").fill("(")
    section.get_by_test_id("add").click()
    expect(flt.part("error")).to_contain_text("Regular expression '(', letter 2: missing )")
    expect(flt.part("chip")).to_have_count(1)
    assert len(flt.lines()) == before, "what cannot be counted is not committed"


def test_a_motif_counts_sequences_and_hits(flt):
    section = flt.section("sequence", "sequence")
    find, texts = section.get_by_test_id("find"), flt.records["sequence"]

    def places(**how) -> pd.Series:
        return texts.map(lambda s: library.motif_places(s, library.MOTIF, **how))

    section.get_by_test_id("how").select_option("motif")
    find.fill(library.MOTIF)
    found = places(mismatches=0, strands="both")
    kept = flt.live & (found.map(len) > 0)
    flt.gesture(section.get_by_test_id("add").click, kept)
    hits = int(found[kept].map(len).sum())
    assert hits > kept.sum() > 0
    expect(flt.part("hits")).to_have_text(f"{kept.sum()} sequences, {hits} hits")
    flt.gesture(flt.part("remove").click, flt.live)
    section.get_by_test_id("strand").select_option("-")
    section.get_by_test_id("mismatches").select_option("1")
    section.get_by_test_id("start-from").fill("5")
    section.get_by_test_id("start-before").fill("20")
    within = places(mismatches=1, strands="-").map(lambda at: {a for a in at if 5 <= a < 20})
    kept = flt.live & (within.map(len) > 0)
    flt.gesture(section.get_by_test_id("add").click, kept)
    expect(flt.part("hits")).to_contain_text(f"{within[kept].map(len).sum()} hit")
    # A palindrome fits on both strands and counts once.
    flt.gesture(flt.part("remove").click, flt.live)
    for name in ("start-from", "start-before"):
        section.get_by_test_id(name).fill("")
    section.get_by_test_id("strand").select_option("both")
    section.get_by_test_id("mismatches").select_option("0")
    find.fill("GAATTC")
    once = texts.map(lambda s: s.count("GAATTC"))
    kept = flt.live & (once > 0)
    flt.gesture(section.get_by_test_id("add").click, kept)
    word = "sequence" if kept.sum() == 1 else "sequences"
    expect(flt.part("hits")).to_contain_text(f"{kept.sum()} {word}, {once[kept].sum()} hit")
    find.fill("ACQ")
    section.get_by_test_id("add").click()
    expect(flt.part("error")).to_contain_text("Q")


# Lists, structs, state ----------------------------------------------------------------------------


def test_lists_by_what_is_computed_of_them(flt):
    section = flt.section("lab__reads")
    reads = flt.records["lab__reads"].map(lambda v: [] if v is None else list(v))
    low = section.get_by_test_id("low")

    def at_least(reducer: str, number: str, kept: pd.Series) -> None:
        section.get_by_test_id("reducer").select_option(reducer)
        expect(section).to_have_attribute("data-loading", "false")
        low.fill(number)
        flt.gesture(lambda: low.press("Enter"), flt.live & kept)
        flt.gesture(section.get_by_test_id("clear-range").click, flt.live)

    at_least("len", "3", reads.map(len) >= 3)
    at_least("max", "40", reads.map(lambda v: max(v, default=-1)) >= 40)
    at_least("min", "10", reads.map(lambda v: min(v, default=-1)) >= 10)
    at_least("mean", "25.5", reads.map(lambda v: sum(v) / len(v) if v else -1) >= 25.5)
    section.get_by_test_id("reducer").select_option("item")
    section.get_by_test_id("item").fill("-1")
    at_least("item", "30", reads.map(lambda v: v[-1] if v else -1) >= 30)
    vec = flt.section("lab__vec")
    vec.get_by_test_id("reducer").select_option("item")
    vec.get_by_test_id("item").fill("2")
    vec.get_by_test_id("item").press("Enter")
    vec.get_by_test_id("low").fill("0.5")
    third = flt.records["lab__vec"].map(lambda v: float(v[2]))
    line = flt.gesture(lambda: vec.get_by_test_id("low").press("Enter"), flt.live & (third >= 0.5))
    assert line == "lab__vec[2] >= 0.5"


def test_fields_of_structs_have_sections_of_their_own(flt):
    start = flt.section("lab__site.start")
    sites = flt.records["lab__site"]
    line = brushed(flt, start, 0.02, 0.45)
    high = float(re.search(r"<= ([-\d.]+)", line)[1])
    kept = flt.live & (sites.map(lambda s: s["start"]) <= high)
    assert count(flt) == kept.sum()
    crp = flt.section("lab__site.tf").locator("[data-testid=value][data-text=crp]")
    flt.gesture(crp.get_by_test_id("in").click, kept & sites.map(lambda s: s["tf"] == "crp"))


def test_record_state_and_tombstones(flt):
    records = flt.records
    qc = flt.section("qc_status", "state").locator("[data-testid=value][data-text=fail]")
    flt.gesture(
        qc.get_by_test_id("in").click, flt.live & records["usr_state__qc_status"].eq("fail")
    )
    masked = flt.section("masked", "state").locator("[data-testid=value][data-text=true]")
    both = records["usr_state__qc_status"].eq("fail") & records["usr_state__masked"].eq(True)
    flt.gesture(masked.get_by_test_id("in").click, flt.live & both)
    flt.gesture(flt.part("clear").click, flt.live)
    expect(flt.part("deleted-count")).to_have_text("(5)")
    everything = pd.Series(data=True, index=records.index)
    flt.gesture(flt.part("deleted").check, everything, of=library.ROWS)
    gone = flt.section("deleted", "state").locator("[data-testid=value][data-text=true]")
    flt.gesture(gone.get_by_test_id("in").click, records["deleted"], of=library.ROWS)
    flt.gesture(flt.part("clear").click, everything, of=library.ROWS)
    flt.gesture(flt.part("deleted").uncheck, flt.live)


# The filter itself --------------------------------------------------------------------------------


def test_undo_and_redo_by_button_and_key(flt):
    line = flt.part("line")
    first = flt.live & (flt.records["length"] > 100)
    second = first & (flt.records["gc"] > 0.5)
    line.fill("length > 100")
    flt.gesture(lambda: line.press("Enter"), first)
    line.fill("length > 100 and gc > 0.5")
    flt.gesture(lambda: line.press("Enter"), second)
    expect(flt.part("chip")).to_have_count(2)
    flt.gesture(flt.part("undo").click, first)
    flt.gesture(flt.part("redo").click, second)
    flt.part("undo").focus()
    flt.gesture(lambda: flt.shown.page.keyboard.press("Control+z"), first)
    flt.gesture(lambda: flt.shown.page.keyboard.press("Control+z"), flt.live)
    flt.gesture(lambda: flt.shown.page.keyboard.press("Control+Shift+z"), first)
    flt.gesture(flt.part("remove").click, flt.live)


def test_the_line_python_and_hash_are_the_filter(flt):
    where = F.length.between(60, 120) & (F["lab__tf"] == "lexA")
    flt.part("line").fill(where.as_line())
    kept = flt.live & flt.records["length"].between(60, 120) & (flt.records["lab__tf"] == "lexA")
    flt.gesture(lambda: flt.part("line").press("Enter"), kept)
    flt.part("copy-python").click()
    expect(flt.part("copy-python")).to_have_attribute("data-copied", "true")
    copied = flt.shown.page.evaluate("navigator.clipboard.readText()")
    assert eval(copied, {"F": F}) == where
    flt.part("hash").click()
    expect(flt.part("hash")).to_have_attribute("data-copied", "true")
    assert flt.shown.page.evaluate("navigator.clipboard.readText()") == where.hash
    flt.part("line").fill("length >")
    flt.part("line").press("Enter")
    expect(flt.part("error")).to_be_visible()
    flt.part("line").fill("lenght > 5")
    flt.part("line").press("Enter")
    expect(flt.part("error")).to_contain_text("Did you mean 'length'")
    expect(flt.part("chip")).to_have_count(2)


def test_nothing_left_names_the_most_restrictive_test(flt):
    flt.part("line").fill("length > 100 and gc > 0.99 and length < 150")
    flt.gesture(lambda: flt.part("line").press("Enter"), flt.live & False)
    expect(flt.part("nothing")).to_contain_text("The most restrictive test is gc > 0.99")
    kept = flt.live & (flt.records["length"] > 100) & (flt.records["length"] < 150)
    expect(flt.part("nothing")).to_contain_text(f"without it {kept.sum()} would be left")
    flt.gesture(flt.part("remove-strictest").click, kept)
    expect(flt.part("nothing")).to_be_hidden()


def test_other_panels_follow(flt):
    records = flt.shown.page.get_by_test_id("usr-nb-sequences").get_by_test_id("records")
    expect(records).to_have_text(f"{flt.live.sum()} records")
    line = brushed(flt, flt.section("length", "sequence"), 0.3, 0.6)
    kept = flt.live & flt.records["length"].between(*ends(line))
    expect(records).to_have_text(f"{kept.sum()} records")


def test_a_column_is_found_by_its_name(flt):
    flt.part("column-search").fill("SCORE")
    expect(flt.part("section-lab__score")).to_be_visible()
    expect(flt.part("section-length")).to_be_hidden()
    expect(flt.part("group-state")).to_be_hidden()
    flt.part("column-search").fill("")
    expect(flt.part("section-length")).to_be_visible()


@pytest.mark.parametrize("host", ["marimo", "jupyter"])
def test_saving_asks_first_and_writes_once(host, open_panel, root):
    name = f"lab/saving{host}"
    library.build(root, name)
    flt, ds = open_panel(host, name), Dataset.open(root, name)
    events = len(ds.events())
    flt.part("line").fill("length > 100")
    flt.gesture(lambda: flt.part("line").press("Enter"), flt.live & (flt.records["length"] > 100))
    flt.part("save-name").fill("long <b>ones")
    flt.part("save").click()
    expect(flt.part("question")).to_have_text(f"Save 'long <b>ones' with {name}?")
    flt.part("cancel").click()
    expect(flt.part("ask")).to_be_hidden()
    flt.part("save").click()
    flt.part("confirm").dblclick()
    expect(flt.part("saved").locator("option")).to_have_text(["saved filters", "long <b>ones"])
    assert ds.filter("long <b>ones") == (F.length > 100)
    flt.gesture(flt.part("clear").click, flt.live)
    flt.gesture(
        lambda: flt.part("saved").select_option("long <b>ones"),
        flt.live & (flt.records["length"] > 100),
    )
    assert [e["action"] for e in ds.events()[events:]] == ["filter_save"]
    # A page that is loaded again writes nothing.
    if host == "marimo":
        flt.shown.page.reload()
        expect(flt.part("saved").locator("option")).to_have_text(["saved filters", "long <b>ones"])
        assert len(ds.events()) == events + 1
    # The dataset changes underneath: the panel says so and counts anew.
    ds.tombstone([str(flt.records["id"][0])])
    expect(flt.part("note")).to_contain_text("The dataset has changed")
    expect(flt.part("count")).to_contain_text(f"of {flt.live.sum() - 1}")
    ds.remove_overlay("lab", mode="archive")
    expect(flt.part("group-lab")).to_have_count(0)
    flt.part("line").fill("lab__tf == lexA")
    flt.part("line").press("Enter")
    expect(flt.part("error")).to_contain_text("'lab__tf' does not exist")
    assert flt.shown.watch.found == []


@pytest.mark.parametrize("host", ["marimo", "jupyter"])
def test_dark_and_narrow_it_fits(host, open_panel):
    flt = open_panel(host, library.NAME, dark=True, width=620)
    if host == "jupyter":
        flt.shown.page.evaluate(
            "window.jupyterapp.commands.execute('apputils:change-theme', "
            "{ theme: 'JupyterLab Dark' })"
        )
    panel = flt.shown.panel
    expect(panel).to_have_attribute("data-theme", "dark")
    ground = panel.evaluate("e => getComputedStyle(e).backgroundColor")
    assert max(map(int, re.findall(r"\d+", ground)[:3])) < 60
    flt.section("lab__tf")
    assert panel.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    # Each control says what it is to who does not see it.
    unnamed = panel.evaluate("""e => [...e.querySelectorAll('button, input, select, [role=slider]')]
        .filter(c => c.offsetParent && !c.getAttribute('aria-label') && !c.closest('label')
            && !c.textContent.trim()).map(c => c.outerHTML)""")
    assert unnamed == []
    assert flt.shown.watch.found == []
