"""The history in marimo and in JupyterLab, compared with the lines of the log read by pandas."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from playwright.sync_api import expect

from tests.browser import hosts, library
from usr_nb import Dataset

PARTS = 20
HOSTILE = "<img src=x onerror='window.hacked=1'>"


@pytest.fixture(scope="module")
def roots(tmp_path_factory) -> dict[str, Path]:
    """A root for each host, as the test adds events to it."""
    first = tmp_path_factory.mktemp("history") / "marimo"
    first.mkdir()
    library.build(first)
    ds = Dataset.open(first, library.NAME)
    ids = library.frame(first)["id"].tolist()
    for i in range(PARTS):
        ds.write_overlay_part(
            "lab", pa.table({"id": ids[i * 10 : i * 10 + 10], "score": [0.5] * 10}),
            actor={"tool": "evo2", "run_id": "job 77"},
        )  # fmt: skip
    for i in range(60):
        ds.log_event("my.step", metrics={"rows": i})
    ds.tombstone(ids[:3], reason=HOSTILE)
    second = first.parent / "jupyter"
    shutil.copytree(first, second)
    return {"marimo": first, "jupyter": second}


def log(root: Path) -> pd.DataFrame:
    lines = (root / library.NAME / ".events.log").read_text("utf-8").splitlines()
    return pd.json_normalize([json.loads(line) for line in lines], max_level=1)


@pytest.fixture(scope="module", params=["marimo", "jupyter"])
def opened(request, browser, serve_app, jupyter, roots):
    host, root = request.param, roots[request.param]
    page, watch = hosts.new_page(browser)
    if host == "marimo":
        hosts.open_in_marimo(page, serve_app("history", root), library.NAME)
    else:
        cells = [
            f"from usr_nb import Dataset, panel\nds = Dataset.open({str(root)!r}, 'lab/mix')",
            "panel.history(ds)",
        ]
        notebook = hosts.write_notebook(jupyter.folder, "history", cells)
        hosts.open_in_jupyter(page, jupyter.address, notebook)
    yield hosts.show(page, watch, host, "history")
    page.context.close()


@pytest.fixture
def shown(opened):
    for name in ("actor", "text", "since", "until", "record"):
        opened.part(name).fill("")
        opened.part(name).press("Tab")
    opened.part("action").select_option("")
    if opened.part("newer").is_enabled():
        opened.part("newer").click()
    expect(opened.part("newer")).to_be_disabled()
    yield opened
    assert opened.watch.found == []


def events(shown, fits: int, everything: int) -> None:
    said = f"{fits} of {everything} events" if fits != everything else f"{everything} events"
    expect(shown.part("events")).to_have_text(said)


def test_events_are_sentences_and_strings_are_text(shown, roots):
    frame = log(roots[shown.host])
    events(shown, len(frame), len(frame))
    expect(shown.part("sentence").first).to_have_text(f"deleted 3 records: {HOSTILE}")
    assert shown.page.evaluate("window.hacked") is None
    last = frame.iloc[-1]
    time = shown.part("item").first.locator("time")
    expect(time).to_have_attribute("title", f"{last['timestamp_utc']} (UTC)")
    local = shown.page.evaluate("at => new Date(at).toLocaleString('sv-SE')", last["timestamp_utc"])
    expect(time).to_have_text(local)
    expect(shown.part("who").first).to_have_text(f"{last['actor.tool']}@{last['actor.host']}")


def test_filters_count_as_pandas_does(shown, roots):
    frame = log(roots[shown.host])
    shown.part("action").select_option("my.step")
    events(shown, int((frame["action"] == "my.step").sum()), len(frame))
    shown.part("action").select_option("")
    shown.part("actor").fill("EVO2")
    events(shown, int((frame["actor.tool"] == "evo2").sum()), len(frame))
    shown.part("actor").fill("")
    shown.part("text").fill('"namespace":"densegen"')
    events(shown, int((frame["args.namespace"] == "densegen").sum()), len(frame))
    shown.part("text").fill("no such thing")
    expect(shown.part("empty")).to_be_visible()
    shown.part("text").fill("")
    shown.part("until").fill("2020-01-01T00:00:00")
    shown.part("until").press("Tab")
    events(shown, 0, len(frame))
    shown.part("until").fill("")
    shown.part("since").fill("2020-01-01T00:00:00")
    shown.part("since").press("Tab")
    events(shown, len(frame), len(frame))


def test_pages_lead_to_the_first_event(shown, roots):
    frame = log(roots[shown.host])
    run = int((frame["actor.run_id"] == "job 77").sum())
    items = len(frame) - run + 1
    expect(shown.part("where")).to_have_text(f"1–50 of {items}")
    shown.part("older").click()
    expect(shown.part("where")).to_have_text(f"51–{items} of {items}")
    expect(shown.part("sentence").last).to_have_text("created the dataset")
    expect(shown.part("older")).to_be_disabled()


def test_a_run_is_one_line_and_unfolds(shown, roots):
    shown.part("actor").fill("job 77")
    expect(shown.part("item")).to_have_count(1)
    said = shown.part("item").first.get_by_test_id("sentence")
    expect(said).to_contain_text(f"lab +{10 * PARTS} rows in {PARTS} parts")
    expect(said).to_contain_text("run job 77")
    item = shown.part("item").first
    # Leaving the input, by a click, must not close what the click opens.
    item.get_by_test_id("unfold").click()
    expect(shown.part("part")).to_have_count(PARTS)
    expect(shown.part("part").nth(13).get_by_test_id("sentence")).to_contain_text(
        f"lab +10 rows, part 7 of {PARTS}"
    )
    item.focus()
    item.press("Enter")
    expect(shown.part("part")).to_have_count(0)
    item.get_by_test_id("details").click()
    frame = log(roots[shown.host])
    raw = json.loads(shown.part("event").inner_text())
    newest = frame[frame["actor.run_id"] == "job 77"].iloc[-1]
    assert raw["timestamp_utc"] == newest["timestamp_utc"]
    item.get_by_test_id("details").click()


def test_two_moments_are_compared(shown, roots):
    frame = log(roots[shown.host])
    shown.part("mark").first.check()
    shown.part("older").click()
    expect(shown.part("sentence").last).to_have_text("created the dataset")
    shown.part("mark").last.check()
    expect(shown.part("comparison")).to_contain_text(f"{len(frame) - 1} events in between")
    written = frame[frame["args.namespace"] == "lab"]
    rows = int(written["metrics.rows_matched"].fillna(0).sum()
               + written["metrics.rows_written"].fillna(0).sum())  # fmt: skip
    expect(shown.part("written-lab")).to_have_text(f"{rows} rows")
    expect(shown.part("comparison")).to_contain_text("300 records imported, 3 records deleted")
    # Column by column, when it is asked for.
    parts = [pd.read_parquet(p) for p in (roots[shown.host] / library.NAME).glob(
        "_derived/lab/*.parquet")]  # fmt: skip
    for column in ("lab__score", "lab__tss"):
        holding = set().union(*(set(p["id"]) for p in parts if column in p))
        row = shown.part("change-row").filter(has_text=column)
        if column == "lab__score":
            shown.part("per-column").click()
        expect(row.locator("td")).to_have_text([column, str(len(holding)), "0", "0"])
    expect(shown.part("comparison")).to_contain_text("usr_state: its values of then are not known")
    shown.part("mark").last.uncheck()
    expect(shown.part("comparison")).to_be_hidden()


def parts_with(root: Path, record: str) -> pd.DataFrame:
    """Every part that holds a record's score, as pandas reads the files, newest first."""
    found = []
    for path in sorted((root / library.NAME / "_derived/lab").glob("part-*.parquet")):
        frame = pd.read_parquet(path)
        mine = frame[frame["id"] == record]
        if "lab__score" in frame and len(mine):
            found.append({"file": f"_derived/lab/{path.name}", "value": mine["lab__score"].iloc[0]})
    return pd.DataFrame(found[::-1])


def test_why_a_cell_has_its_value_and_what_it_replaced(shown, roots):
    root = roots[shown.host]
    record = library.frame(root)["id"][25]
    wanted, frame = parts_with(root, record), log(root)
    assert len(wanted) == 2
    shown.part("why-id").fill(record[:8])
    shown.part("why-column").fill("lab__score")
    shown.part("why-column").press("Enter")
    expect(shown.part("why-value")).to_have_text(
        f"lab__score of {record[:8]} is {wanted['value'][0]:g}"
    )
    steps = shown.part("why-step")
    expect(steps).to_have_count(len(wanted))
    for n, row in wanted.iterrows():
        cells = steps.nth(n).locator("td")
        expect(cells.nth(0)).to_have_text("decides" if n == 0 else "was replaced")
        assert float(cells.nth(1).inner_text()) == pytest.approx(row["value"])
        expect(cells.nth(5)).to_have_attribute("title", row["file"])
        made = [f["path"] == row["file"] for files in frame["artifacts.files"].dropna()
                for f in files]  # fmt: skip
        assert any(made)
    run = frame[frame["actor.run_id"] == "job 77"].iloc[2]
    expect(steps.nth(0).locator("td").nth(3)).to_have_text(f"evo2@{run['actor.host']} · run job 77")
    shown.part("why-copy").click()
    assert shown.page.evaluate("navigator.clipboard.readText()") == (
        f"ds.why({record!r}, 'lab__score')"
    )
    shown.part("why-column").fill("lab__scor")
    shown.part("why").click()
    expect(shown.part("error")).to_contain_text("lab__score")


def test_the_events_of_one_record(shown, roots):
    root = roots[shown.host]
    record, frame = library.frame(root)["id"][25], log(root)
    holding = {p.name for p in (root / library.NAME / "_derived").glob("*/part-*.parquet")
               if record in set(pd.read_parquet(p, columns=["id"])["id"])}  # fmt: skip
    wrote = frame["artifacts.files"].map(
        lambda fs: any(f["path"].rpartition("/")[2] in holding for f in fs)
        if isinstance(fs, list) else False
    )  # fmt: skip
    imports = frame["action"] == "import_rows"
    assert int(wrote.sum()) == 3
    shown.part("record").fill(record[:9])
    shown.part("record").press("Enter")
    events(shown, int((wrote | imports).sum()), len(frame))
    shown.part("record").fill("xyz")
    shown.part("record").press("Enter")
    expect(shown.part("error")).to_contain_text("is no id")
    shown.part("record").fill("")
    shown.part("record").press("Enter")
    events(shown, len(frame), len(frame))
    expect(shown.part("error")).to_be_hidden()


def test_new_events_show_up_by_themselves(shown, roots):
    root = roots[shown.host]
    before = len(log(root))
    Dataset.open(root, library.NAME).log_event("my.news", metrics={"rows": 7})
    expect(shown.part("sentence").first).to_have_text("my.news (rows 7)")
    events(shown, before + 1, before + 1)
    # Who reads an older page is told, and stays where they are.
    shown.part("older").click()
    expect(shown.part("newer")).to_be_enabled()
    Dataset.open(root, library.NAME).log_event("my.news", metrics={"rows": 8})
    shown.part("fresh").click()
    expect(shown.part("sentence").first).to_have_text("my.news (rows 8)")
