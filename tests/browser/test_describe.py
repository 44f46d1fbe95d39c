"""The description in marimo and in JupyterLab, compared with the files read by pandas."""

from __future__ import annotations

import csv
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from playwright.sync_api import expect

from tests.browser import hosts, library
from usr_nb import Dataset, register_namespace, set_column

NAME = "lab/table"
WHERE = "m__x > 0.5"
DETAIL = "struct<model:string,score:float64>"
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A root with columns of every kind, nulls, NaN, duplicates, and one column of HTML."""
    folder = tmp_path_factory.mktemp("describe")
    register_namespace(
        folder, namespace="m", owner="ana", description="simulated",
        columns=f"m__x:float64,m__vec:fixed_size_list<float32>[16],m__tags:list<string>,"
        f"m__call:{DETAIL},m__html:string,m__ok:bool",
    )  # fmt: skip
    register_namespace(folder, namespace="k", columns="k__plan:string")
    ds = Dataset.open(folder, NAME)
    ds.init(source="browser tests")
    texts = library.sequences(240, "ACGT", 21, low=40, high=90)
    texts += [t.lower() for t in texts[:6]]
    texts += [t.translate(COMPLEMENT)[::-1] for t in texts[10:14]]
    ds.add_sequences([{"sequence": t} for t in texts], bio_type="dna", alphabet="dna_4")
    ids = library.frame(folder, NAME)["id"].tolist()
    draw = np.random.default_rng(4)
    x = draw.normal(size=200)
    x[3], x[4] = np.nan, np.inf
    vectors = draw.normal(size=(200, 16)).astype(np.float32)
    ds.write_overlay_part("m", pa.table({
        "id": ids[:200], "x": x,
        "vec": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 16),
        "tags": [["a", "b"][: i % 3] for i in range(200)],
        "call": pa.array([{"model": "big" if i % 4 else "small", "score": float(i)}
                          for i in range(200)]),
        "html": [library.HOSTILE if i % 2 else "plain" for i in range(200)],
        "ok": [i % 5 == 0 for i in range(200)],
    }), actor={"tool": "evo2", "run_id": "job 8812"})  # fmt: skip
    ds.write_overlay_part("k", pa.table({"id": ids[:50], "plan": ["sigma70"] * 50}))
    set_column(folder, "m__x", unit="nats", label="Evo2 LLR", format=".3f", better="high")
    return folder


@pytest.fixture(scope="module")
def open_panel(browser, serve_app, jupyter, root):
    pages = []

    def open_one(host: str, dataset: str, where: str, *, dark: bool = False, width: int = 1280):
        page, watch = hosts.new_page(browser, dark=dark, width=width)
        pages.append(page)
        if host == "marimo":
            address = serve_app("describe", root)
            page.goto(f"{address}?dataset={dataset}&where={where.replace(' ', '%20')}")
        else:
            cells = [
                f"from usr_nb import Dataset, panel\nds = Dataset.open({str(root)!r}, {dataset!r})",
                f"view = panel.describe(ds, where={where!r} or None)\nview",
                "panel.sequences(ds, where=view)",
            ]
            notebook = hosts.write_notebook(jupyter.folder, f"describe{len(pages)}", cells)
            hosts.open_in_jupyter(page, jupyter.address, notebook)
        shown = hosts.show(page, watch, host, "describe")
        expect(shown.panel).to_have_attribute("data-made", re.compile(r"\d+"))
        return shown

    yield open_one
    for page in pages:
        page.context.close()


@pytest.fixture(scope="module", params=["marimo", "jupyter"])
def opened(request, open_panel) -> hosts.Shown:
    return open_panel(request.param, NAME, WHERE)


@pytest.fixture
def shown(opened):
    opened.part("search").fill("")
    opened.part("order").select_option("dataset")
    yield opened
    assert opened.watch.found == []


@pytest.fixture(scope="module")
def table(root) -> pd.DataFrame:
    """All records as pandas joins them from the files, without usr_nb."""
    found = library.frame(root, NAME)
    for namespace in ("m", "k"):
        found = found.merge(library.overlay(root, namespace, NAME), on="id", how="left")
    return found


@pytest.fixture(scope="module")
def kept(table) -> pd.DataFrame:
    return table[table["m__x"] > 0.5]


def line(shown, column: str):
    return shown.panel.locator(f'[data-column="{column}"]')


def counts(picture, name: str) -> list[int]:
    return [int(n) for n in (picture.get_attribute(f"data-{name}") or "").split()]


def test_whole_and_filtered_stand_side_by_side(shown, table, kept):
    share = f"{100 * len(kept) / len(table):.1f} %"
    expect(shown.part("records")).to_have_text(
        f"{len(kept)} of {len(table)} ({share}) records, exact"
    )
    expect(shown.part("where")).to_have_text(WHERE)
    for column, stats in (("length", "all"), ("length", "kept")):
        values = (table if stats == "all" else kept)[column]
        said = line(shown, column).get_by_test_id(stats)
        expect(said).to_contain_text(f"{values.min()} to {values.max()}, mean")
        mean = re.search(r"mean ([\d.]+)", said.inner_text())
        assert mean, said.inner_text()
        assert float(mean[1]) == pytest.approx(values.mean(), rel=5e-4)
    by = kept["length"].mean() - table["length"].mean()
    expect(line(shown, "length").get_by_test_id("kept")).to_contain_text(
        f"mean {'+' if by > 0 else '−'}"
    )


def test_histograms_hold_what_numpy_counts(shown, table, kept):
    for column in ("length", "m__x"):
        picture = line(shown, column).get_by_test_id("histogram")
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        assert box
        every, some = counts(picture, "counts"), counts(picture, "kept")
        values = table[column].to_numpy(float)
        assert sum(every) == int(np.isfinite(values).sum())
        assert sum(some) == int(np.isfinite(kept[column].to_numpy(float)).sum())
        # A gesture: the bin under the pointer says its ends and its counts.
        at = max(range(len(every)), key=every.__getitem__)
        shown.page.mouse.move(box["x"] + box["width"] * (at + 0.5) / len(every), box["y"] + 9)
        expect(shown.part("bin")).to_contain_text("≤ x <")
        said = shown.part("bin").inner_text()
        low, high, n, of = re.match(
            r"(\S+) ≤ x < (\S+?)(?: nats)?: ([\d,]+) of ([\d,]+)$", said
        ).groups()
        low, high = (float(v.replace("−", "-").replace(",", "")) for v in (low, high))
        assert (int(n), int(of)) == (some[at], every[at])
        wide = 6e-4 if column == "m__x" else 0  # What is shown is rounded to three places.
        assert int(((values >= low + wide) & (values < high - wide)).sum()) <= int(of)
        assert int(((values >= low - wide) & (values < high + wide)).sum()) >= int(of)


def test_nulls_nan_units_and_formats(shown, table):
    x = line(shown, "m__x")
    nulls = table["m__x"].index[200:]
    expect(x.get_by_test_id("nulls")).to_contain_text(f"{100 * len(nulls) / len(table):.1f} %")
    finite = table["m__x"][np.isfinite(table["m__x"])]
    expect(x.get_by_test_id("all")).to_contain_text(f"{finite.min():.3f} to ∞ nats")
    expect(x.get_by_test_id("all")).to_contain_text("1 NaN, 1 infinite")
    expect(x.get_by_test_id("type")).to_have_text("float64nats")
    expect(x).to_contain_text("Evo2 LLR")
    expect(line(shown, "id").get_by_test_id("all")).to_have_text(f"{len(table)} different")


def test_top_values_lists_vectors_and_structs(shown, table):
    plan = table["k__plan"].value_counts()
    expect(line(shown, "k__plan").get_by_test_id("all")).to_have_text(
        f"{len(plan)} different: {plan.index[0]} 100.0 %"
    )
    true = int(table["m__ok"].eq(True).sum())
    expect(line(shown, "m__ok").get_by_test_id("all")).to_contain_text(f"true {true / 2:.1f} %")
    tags = table["m__tags"].dropna()
    expect(line(shown, "m__tags").get_by_test_id("all")).to_contain_text(
        f"length 0 to 2, mean {tags.str.len().mean():.4g}"
    )
    vec = line(shown, "m__vec")
    expect(vec.get_by_test_id("type")).to_have_text("vec[16]")
    points = (vec.get_by_test_id("sparkline").get_attribute("data-points") or "").split()
    means = np.stack(table["m__vec"].dropna().to_list()).astype(float).mean(axis=0)
    assert [float(p) for p in points] == pytest.approx(means.tolist(), abs=1e-6)
    assert shown.panel.get_by_test_id("column").count() == len(table.columns)


def test_a_line_opens_by_key_and_shows_everything(shown, table, kept):
    call = line(shown, "m__call")
    call.focus()
    call.press("Enter")
    children = shown.part("child")
    expect(children).to_have_count(2)
    models = pd.Series([c["model"] for c in table["m__call"].dropna()]).value_counts()
    expect(children.nth(0).get_by_test_id("top").first).to_contain_text(
        f"big{models['big']} ({100 * models['big'] / models.sum():.1f} %)"
    )
    scores = pd.Series([c["score"] for c in table["m__call"].dropna()])
    expect(children.nth(1).get_by_test_id("fact-25")).to_contain_text(f"{scores.quantile(0.25):g}")
    expect(children.nth(1).get_by_test_id("fact-std")).to_contain_text(f"{scores.std():.4g}")
    call.press("Enter")
    expect(children).to_have_count(0)
    call.press("ArrowDown")
    expect(line(shown, "m__html")).to_be_focused()
    length = line(shown, "length")
    length.click()
    for share, name in ((0.05, "5"), (0.5, "50"), (0.99, "99")):
        said = shown.part("details").get_by_test_id(f"fact-{name}").locator("td")
        expect(said).to_have_count(2)
        assert [float(t) for t in said.all_inner_texts()] == pytest.approx(
            [frame["length"].quantile(share) for frame in (table, kept)], rel=5e-4
        )
    length.click()
    expect(shown.part("details")).to_have_count(0)


def test_sequences_and_duplicates_are_those_of_the_file(shown, table, kept):
    frame = kept["sequence"]
    letters = table["sequence"].str.cat()
    said = f"{100 * letters.count('A') / len(letters):.1f} %"
    expect(shown.part("letter-A")).to_contain_text(said)
    upper = table["sequence"].str.upper()
    gc = 100 * upper.str.count("[GC]") / upper.str.len()
    expect(shown.part("sequence-gc").get_by_test_id("all")).to_have_text(
        f"{gc.min():.1f}% to {gc.max():.1f}%, mean {gc.mean():.1f}%"
    )
    folded = frame.str.upper()
    twins = int(folded.duplicated(keep=False).sum())
    turned = set(folded.map(lambda s: s.translate(COMPLEMENT)[::-1]))
    mates = int(folded.isin(turned).sum())
    expect(shown.part("duplicates-case")).to_contain_text(f"{twins} in" if twins else "none")
    expect(shown.part("duplicates-reverse_complement")).to_contain_text(
        f"{mates} in" if mates else "none"
    )
    expect(shown.part("duplicates-case")).to_contain_text("of all: 12")


def test_search_order_and_folding(shown, table):
    shown.part("search").fill("nats")
    expect(shown.part("column")).to_have_count(1)
    expect(shown.part("name")).to_have_text("x")
    shown.part("search").fill("no such")
    expect(shown.part("empty")).to_be_visible()
    shown.part("search").press("Escape")
    expect(shown.part("column")).to_have_count(len(table.columns))
    shown.part("order").select_option("nulls")
    by_nulls = table.filter(like="m__").isna().sum().sort_values(kind="stable", ascending=False)
    first = shown.panel.locator('[data-column^="m__"]').first
    assert table[first.get_attribute("data-column")].isna().sum() >= by_nulls.iloc[0] - 1
    space = shown.part("space-m")
    expect(space).to_contain_text(f"values for 200 of {len(table)}")
    expect(space.get_by_test_id("written")).to_contain_text("by evo2 job 8812 (1 part)")
    expect(space).to_contain_text("owner ana")
    space.click()
    expect(shown.panel.locator('[data-column^="m__"]')).to_have_count(0)
    expect(shown.part("space-m")).to_be_focused()
    shown.part("space-m").press("Enter")
    expect(shown.panel.locator('[data-column^="m__"]')).to_have_count(6)


def test_it_copies_python_csv_and_markdown(shown, table, kept):
    shown.part("copy-python").click()
    expect(shown.part("said")).to_have_text("Copied as Python")
    assert shown.page.evaluate("navigator.clipboard.readText()") == f"ds.profile({WHERE!r})"
    shown.part("copy-csv").click()
    expect(shown.part("said")).to_have_text("Copied as CSV")
    rows = list(csv.DictReader(io.StringIO(shown.page.evaluate("navigator.clipboard.readText()"))))
    assert len(rows) == 2 * len(table.columns)
    length = [r for r in rows if r["column"] == "length"]
    assert [int(r["rows"]) for r in length] == [len(table), len(kept)]
    assert [float(r["mean"]) for r in length] == pytest.approx(
        [table["length"].mean(), kept["length"].mean()]
    )
    shown.part("copy-markdown").click()
    expect(shown.part("said")).to_have_text("Copied as Markdown")
    text = shown.page.evaluate("navigator.clipboard.readText()")
    assert text.startswith("| column | records | type |")


def test_strings_are_text_and_keys_stay_inside(shown):
    html = line(shown, "m__html")
    expect(html.get_by_test_id("all")).to_contain_text('<img src=x onerror="window.hacked=1">')
    assert shown.page.evaluate("window.hacked") is None
    line(shown, "id").press("d")
    line(shown, "id").press("d")
    if shown.host == "jupyter":
        cells = shown.page.evaluate("window.jupyterapp.shell.currentWidget.content.widgets.length")
        assert cells == 3


@pytest.mark.parametrize("host", ["marimo", "jupyter"])
def test_duplicates_are_a_click_from_a_filter_and_changes_are_noticed(host, open_panel, root):
    copied = f"copies/{host}"
    shutil.copytree(root / NAME, root / copied)
    meta = root / copied / "meta.md"
    meta.write_text(meta.read_text().replace(f"name: {NAME}", f"name: {copied}"))
    shown = open_panel(host, copied, "", dark=True, width=700)
    if host == "jupyter":
        shown.page.evaluate(
            "window.jupyterapp.commands.execute('apputils:change-theme', "
            "{ theme: 'JupyterLab Dark' })"
        )
    expect(shown.panel).to_have_attribute("data-theme", "dark")
    assert shown.panel.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
    frame = library.frame(root, copied)
    expect(shown.part("records")).to_have_text(f"all {len(frame)} records, exact")
    below = shown.page.get_by_test_id("usr-nb-sequences")
    expect(below.get_by_test_id("records")).to_have_text(f"{len(frame)} records")
    shown.part("choose-case").click()
    expect(shown.part("said")).to_contain_text("Copied the filter as Python")
    twins = frame[frame["sequence"].str.upper().duplicated(keep=False)]
    python = shown.page.evaluate("navigator.clipboard.readText()")
    assert set(re.findall(r"[0-9a-f]{40}", python)) == set(twins["id"])
    expect(below.get_by_test_id("records")).to_have_text(f"{len(twins)} records")

    ds = Dataset.open(root, copied)
    ds.add_sequences([{"sequence": "ACGT" * 12}], bio_type="dna", alphabet="dna_4")
    expect(shown.part("records")).to_have_text(f"all {len(frame) + 1} records, exact")
    expect(shown.part("said")).to_contain_text("The dataset changed")
    assert shown.watch.found == []
