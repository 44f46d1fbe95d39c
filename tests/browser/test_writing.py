"""Panels that write, in marimo and in JupyterLab, judged by the dataset and its event log."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from tests.browser import hosts
from tests.browser.conftest import free_port, running, wait_for_server, wait_until
from tests.browser.watch import Watch
from tests.sync import beds
from usr_nb import Dataset, init_root, load_registry, register_namespace
from usr_nb.sync import remotes

NAME = "lab/demo"
MATERIAL = Path(__file__).resolve().parents[2] / "demo_material"
SFXI = MATERIAL / "demo_y_sfxi.csv"
TWO = MATERIAL / "demo_attachment_two.csv"


server = beds.server


# Hosts --------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A marimo server that can be killed and started again at the same address."""

    repo: Path
    env: dict[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        command = [
            sys.executable, "-m", "marimo", "run",
            str(self.repo / "tests/browser/apps/writing.py"), "--headless", "--no-token",
            "--no-sandbox", "--host", "127.0.0.1", "--port", str(self.port),
        ]  # fmt: skip
        env = {**self.env, "PYTHONPATH": str(self.repo)}
        with running(command, self.log, env=env, stdin=subprocess.DEVNULL) as process:
            wait_for_server(process, self.log, self.port, "/health")
            self.process = process
            yield

    def address(self, root: Path, panel: str, fault: str, env: dict[str, str], how) -> str:
        asked = {"root": str(root), "dataset": NAME, "panel": panel, "fault": fault,
                 "env": json.dumps(env), **{f"_{k}": v for k, v in how.items()}}  # fmt: skip
        return f"http://127.0.0.1:{self.port}/?{urllib.parse.urlencode(asked)}"


@pytest.fixture(scope="module")
def marimo(repo, home_env, tmp_path_factory) -> Iterator[Server]:
    one = Server(repo, home_env, tmp_path_factory.mktemp("log") / "writing.txt")
    with one.up():
        yield one


@pytest.fixture
def second(repo, home_env, tmp_path) -> Server:
    """A server of the test's own, to be killed."""
    return Server(repo, home_env, tmp_path / "second.txt")


@dataclass
class Desk:
    """Opens panels in one host, each in a page of its own."""

    host: str
    browser: object
    marimo: Server
    lab: object
    repo: Path
    pages: list[tuple[Page, Watch]] = field(default_factory=list)
    forgiven: tuple[str, ...] = ()
    notebook: str = ""

    def open(
        self, root: Path, panel: str, *, fault: str = "", env=None, at=None, page=None, name="",
        **how,
    ):  # fmt: skip
        """Open a panel in a page of its own, or, named alike, once more in a page that is there."""
        if page is None:
            self.pages.append(hosts.new_page(self.browser))
        page, watch = next(p for p in reversed(self.pages) if page in (None, p[0]))
        if self.host == "marimo":
            page.goto((at or self.marimo).address(root, panel, fault, env or {}, how))
        else:
            cells = [
                "\n".join(
                    [
                        f"import sys\nsys.path.insert(0, {str(self.repo)!r})",
                        f"from tests.browser.faults import arm\narm({fault!r}, {env or {}!r})",
                        "from usr_nb import Dataset, panel",
                        f"ds = Dataset.open({str(root)!r}, {NAME!r})",
                    ]
                ),
                f"panel.{panel}(ds, **{how!r})",
            ]
            name = f"{panel}{name or len(self.pages)}{root.parent.name}"
            self.notebook = hosts.write_notebook(self.lab.folder, name, cells)
            hosts.open_in_jupyter(page, self.lab.address, self.notebook)
        return hosts.show(page, watch, self.host, panel)

    def again(self, shown: hosts.Shown, panel: str) -> hosts.Shown:
        """Run every cell once more: by a reload of the app, or by the notebook's own command."""
        if self.host == "marimo":
            shown.page.reload()
        else:
            shown.panel.evaluate("e => e.dataset.ready = 'old'")
            shown.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        return hosts.show(shown.page, shown.watch, self.host, panel)

    def reloaded(self, shown: hosts.Shown, panel: str) -> hosts.Shown:
        """Reload the page of JupyterLab, and run every cell once more."""
        hosts.open_in_jupyter(shown.page, self.lab.address, self.notebook)
        return hosts.show(shown.page, shown.watch, self.host, panel)

    def restarted(self, shown: hosts.Shown, panel: str) -> hosts.Shown:
        """Restart the kernel of JupyterLab, and run every cell once more."""
        shown.page.evaluate(
            "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
        )
        return self.again(shown, panel)


@pytest.fixture(params=["marimo", "jupyter"])
def desk(request, browser, marimo, jupyter, repo) -> Iterator[Desk]:
    made = Desk(request.param, browser, marimo, jupyter, repo)
    yield made
    for page, watch in made.pages:
        page.context.close()
        assert [f for f in watch.found if not f.endswith(made.forgiven)] == []


# Data ---------------------------------------------------------------------------------------------


@pytest.fixture
def ds(tmp_path) -> Dataset:
    root = tmp_path / "root"
    init_root(root)
    register_namespace(root, namespace="k", columns="k__x:float64,k__y:string")
    made = Dataset.open(root, NAME)
    made.init()
    made.import_csv(MATERIAL / "demo_sequences.csv", "dna", "dna_4")
    return made


def with_parts(ds: Dataset) -> list[str]:
    ids = ds.head_table(100, ["id"])["id"].to_pylist()
    ds.write_overlay_part("k", [{"id": i, "x": 1.0} for i in ids[:20]])
    ds.write_overlay_part("k", [{"id": i, "x": 2.0, "y": "b"} for i in ids[10:30]])
    return ids


def events(ds: Dataset, action: str | None = None) -> list[dict]:
    lines = [json.loads(x) for x in ds.events_path.read_text("utf-8").splitlines()]
    return [e for e in lines if action in (None, e["action"])]


def parts(ds: Dataset, namespace: str) -> int:
    return len(list((ds.dir / "_derived" / namespace).glob("*.parquet")))


def state(ds: Dataset) -> pd.DataFrame:
    """The record state as pandas reads it from its file."""
    return pd.read_parquet(ds.dir / "_derived/usr_state.parquet").set_index("id")


def number(shown: hosts.Shown, name: str, wanted: int) -> None:
    expect(shown.part(name)).to_have_text(f"{wanted:,}")


# Attach -------------------------------------------------------------------------------------------


def test_a_file_is_attached_once_whatever_happens_to_page_and_cells(desk, ds, second):
    shown = desk.open(ds.root, "attach", namespace="lab")
    shown.part("path").fill(str(TWO))
    shown.part("look").click()
    expect(shown.part("problem").first).to_contain_text("12 keys stand in more than one row")
    expect(shown.part("problem").first).to_contain_text("“repeated keys”")
    expect(shown.part("confirm")).to_be_disabled()
    frame, base = pd.read_csv(SFXI), pd.read_parquet(ds.records_path)
    hit = frame["sequence"].isin(base["sequence"])
    shown.part("path").fill(str(SFXI))
    shown.part("path").press("Enter")
    number(shown, "incoming", len(frame))
    number(shown, "matched", int(hit.sum()))
    number(shown, "missing", int((~hit).sum()))
    expect(shown.part("unmatched-row")).to_have_count(int((~hit).sum()))
    first = frame.index[~hit][0]
    expect(shown.part("unmatched-row").first).to_contain_text(str(first + 1))
    expect(shown.part("unmatched-row").first).to_contain_text(frame["sequence"][first][:40])
    expect(shown.part("confirm")).to_be_disabled()
    assert not events(ds, "attach")
    shown.part("skip-missing").check()
    expect(shown.part("confirm")).to_have_text(f"Attach {int(hit.sum())} rows")
    expect(shown.part("confirm")).to_be_enabled()
    shown.part("confirm").dblclick()
    expect(shown.part("receipt-text")).to_contain_text(f"rows matched {int(hit.sum())}")

    def written() -> tuple[int, int, int]:
        return parts(ds, "lab"), len(events(ds, "attach")), len(events(ds))

    once = written()
    assert once[:2] == (1, 1)
    assert load_registry(ds.root)["lab"].column_names == tuple(
        f"lab__{c}" for c in frame.columns if c != "sequence"
    )
    got = pd.DataFrame(ds.head(100)).set_index("sequence")["lab__v00"].dropna()
    wanted = frame[hit].set_index("sequence")["v00"]
    assert got.to_dict() == wanted.to_dict()
    if desk.host == "marimo":
        expect(shown.page.get_by_test_id("runs")).to_have_text("2:1")
    shown.part("confirm").dblclick(force=True)
    again = desk.again(shown, "attach")
    expect(again.part("earlier")).to_be_hidden()
    again.part("confirm").dblclick(force=True)
    if desk.host == "marimo":
        expect(again.page.get_by_test_id("runs")).to_have_text("1:0")
        with second.up():
            restarted = desk.open(ds.root, "attach", at=second, namespace="lab")
            restarted.part("confirm").click(force=True)
            expect(restarted.part("confirm")).to_be_disabled()
    else:
        for made_anew in (desk.reloaded, desk.restarted):
            again = made_anew(again, "attach")
            expect(again.part("earlier")).to_be_hidden()
            again.part("confirm").dblclick(force=True)
            expect(again.part("confirm")).to_be_disabled()
    assert written() == once


# Materialize --------------------------------------------------------------------------------------


def confirmed(shown: hosts.Shown) -> None:
    expect(shown.part("confirm")).to_be_enabled()
    shown.part("confirm").click()
    expect(shown.part("receipt-text")).to_be_visible()


def test_materialize_with_each_choice_and_a_change_in_between(desk, ds):
    with_parts(ds)
    before = ds.head(100)["k__x"].tolist()
    register_namespace(ds.root, namespace="m", columns="m__z:int64")
    ds.write_overlay_part("m", [{"id": ds.head(1)["id"].iloc[0], "z": 5}])
    [aside] = (ds.dir / "_derived/m").glob("*.parquet")
    shown = desk.open(ds.root, "materialize")
    shown.part("take-k").check()
    number(shown, "cells", 30 + 20)
    # Somebody writes between plan and confirm: it is refused, and planned again.
    expect(shown.part("confirm")).to_be_enabled()
    ids = ds.head_table(100, ["id"])["id"].to_pylist()
    ds.write_overlay_part("k", [{"id": ids[35], "x": 3.0}])
    shown.part("confirm").click()
    expect(shown.part("error")).to_contain_text("not what it was when the plan was made")
    number(shown, "cells", 31 + 20)
    assert not events(ds, "materialize")
    confirmed(shown)
    [one] = events(ds, "materialize")
    assert (one["args"]["keep_overlays"], one["metrics"]["rows"]) == (True, 36)
    base = pd.read_parquet(ds.records_path)
    before[35] = 3.0
    assert base["k__x"].fillna(-1).tolist() == pd.Series(before).fillna(-1).tolist()
    assert len(list(ds.snapshot_dir.glob("*.parquet"))) == 1
    shown.part("compact-k").click()
    number(shown, "parts", 3)
    confirmed(shown)
    assert (parts(ds, "k"), len(events(ds, "compact_overlay"))) == (1, 1)
    shown.part("take-k").uncheck()
    shown.part("fate").select_option("archive")
    shown.part("take-m").check()
    number(shown, "cells", 1)
    confirmed(shown)
    expect(shown.part("take-m")).to_have_count(0)
    archived = list((ds.dir / "_derived/_archived").rglob(f"{aside.stem}*"))
    assert (parts(ds, "m"), len(archived)) == (0, 1)
    assert (ds.head(1)["m__z"].iloc[0], parts(ds, "k")) == (5, 1)
    shown.part("fate").select_option("drop")
    shown.part("take-k").check()
    expect(shown.part("question")).to_contain_text(f"type {NAME}")
    expect(shown.part("confirm")).to_be_disabled()
    shown.part("typed").fill(NAME)
    shown.part("typed").press("Tab")
    confirmed(shown)
    assert parts(ds, "k") == 0
    assert ds.head(100)["k__x"].fillna(-1).tolist() == pd.Series(before).fillna(-1).tolist()
    told = [(e["args"]["keep_overlays"], e["args"]["archive_overlays"])
            for e in events(ds, "materialize")]  # fmt: skip
    assert told == [(True, False), (True, True), (False, False)]


def test_cancel_half_way_leaves_the_state_before(desk, ds):
    with_parts(ds)
    log, base = ds.events_path.read_bytes(), ds.records_path.read_bytes()
    shown = desk.open(ds.root, "materialize", fault="hold")
    shown.part("take-k").check()
    expect(shown.part("confirm")).to_be_enabled()
    shown.part("confirm").click()
    expect(shown.part("progress")).to_contain_text(re.compile("copying|writing"))
    shown.part("cancel").click()
    expect(shown.part("cancel")).to_be_hidden()
    expect(shown.part("confirm")).to_be_enabled()
    expect(shown.part("receipt")).to_be_hidden()
    assert (ds.events_path.read_bytes(), ds.records_path.read_bytes()) == (log, base)


# Curate -------------------------------------------------------------------------------------------


def test_twenty_records_by_keyboard_alone_then_undone(desk, ds):
    ids = with_parts(ds)
    shown = desk.open(ds.root, "curate", where="length > 10")
    expect(shown.part("where")).to_have_text("1 of 36")
    shown.part("record").focus()
    expect(shown.part("listens")).to_have_text("listening to the keys")
    pressed = ["pfw"[i % 3] for i in range(20)]
    for k in pressed:
        shown.page.keyboard.press(k)
    expect(shown.part("where")).to_have_text("21 of 36")
    # Leaving the record saves what is not saved yet; staying, five seconds do.
    shown.page.keyboard.press("g")
    expect(shown.part("unsaved")).to_have_text("")
    shown.page.keyboard.press("Escape")
    words = {"p": "pass", "f": "fail", "w": "warn"}
    said = state(ds)["usr_state__qc_status"]
    assert said.to_dict() == {ids[i]: words[k] for i, k in enumerate(pressed)}
    expect(shown.part("counts")).to_have_text("7 pass, 6 warn, 7 fail")
    assert [e["metrics"]["rows"] for e in events(ds, "state_set")] == [20]
    for _ in range(20):
        shown.page.keyboard.press("u")
    expect(shown.part("where")).to_have_text("1 of 36")
    expect(shown.part("unsaved")).to_have_text("")
    assert state(ds)["usr_state__qc_status"].notna().sum() == 0
    first, undone = events(ds, "state_set")
    assert undone["args"]["undoes"] == first["artifacts"]["operation_id"]
    if desk.host == "marimo":
        expect(shown.page.get_by_test_id("runs")).to_have_text("3:2")
    # Split, mask, and a delete with a reason, each by keys; `d d` deletes no cell.
    for k in ("s", "t", "m", "D"):
        shown.page.keyboard.press(k)
    expect(shown.part("reason")).to_be_focused()
    shown.page.keyboard.type("bad batch dd")
    shown.page.keyboard.press("Enter")
    expect(shown.part("confirm")).to_have_text("Delete 1 record")
    expect(shown.part("confirm")).to_be_focused()
    shown.page.keyboard.press("Enter")
    expect(shown.part("receipt-text")).to_contain_text("tombstone")
    expect(shown.part("where")).to_have_text("1 of 35")
    gone = pd.read_parquet(ds.dir / "_derived/usr.parquet").set_index("id")
    assert gone.loc[ids[0], "usr__deleted_reason"] == "bad batch dd"
    row = state(ds).loc[ids[0]]
    assert (row["usr_state__split"], bool(row["usr_state__masked"])) == ("train", True)
    # All that are reviewed, with the count to confirm.
    shown.part("record").focus()
    shown.page.keyboard.press("Shift+W")
    expect(shown.part("confirm")).to_have_text("Set qc_status warn for 35 records")
    shown.part("confirm").dblclick()
    expect(shown.part("counts")).to_have_text("35 warn")
    assert len(events(ds, "state_set")) == 4
    expect(shown.panel).to_be_visible()


# Sync ---------------------------------------------------------------------------------------------


@pytest.fixture
def loop(ds, tmp_path, monkeypatch, request):
    """Pushes the dataset to the remote `loop`, a local sshd; returns what a kernel must know."""

    def push() -> dict[str, str]:
        server, there = request.getfixturevalue("server"), tmp_path / "there/datasets"
        there.mkdir(parents=True)
        path = f"{server.bin}{os.pathsep}{os.environ['PATH']}"
        env = {"USR_REMOTES_PATH": str(tmp_path / "remotes.yaml"), "PATH": path,
               "USR_TEST_KEY": str(server.key)}  # fmt: skip
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        remotes.add(remotes.Remote(
            "loop", host="127.0.0.1", user=server.user, base_dir=str(there), port=server.port,
            ssh_key_env="USR_TEST_KEY",
        ))  # fmt: skip
        ds.sync_plan("loop").apply("push")
        return env

    return push


def test_a_pull_and_a_push_over_ssh_with_a_conflict_resolved(desk, ds, loop):
    ids = with_parts(ds)
    env = loop()
    there = ds.root.parent / "there/datasets"
    other = Dataset.open(there, NAME)
    other.write_overlay_part("k", [{"id": ids[0], "x": 7.0}])
    shown = desk.open(ds.root, "sync", env=env, remote="loop")
    expect(shown.part("state")).to_have_text("This copy is behind.")
    expect(shown.part("there")).to_contain_text("1 part only there (1 k row)")
    assert not events(ds, "pull")
    shown.part("pull").click()
    expect(shown.part("confirm")).to_have_text("Pull 1 file")
    shown.part("confirm").dblclick()
    expect(shown.part("receipt-text")).to_be_visible()
    expect(shown.part("state")).to_have_text("Both copies are equal.")
    assert (len(events(ds, "pull")), ds.get(ids[0])["k__x"].iloc[0]) == (1, 7.0)
    # Both rewrite the base, each its own way.
    with ds.maintenance(reason="here"):
        ds.materialize()
    other.write_overlay_part("k", [{"id": ids[1], "y": "theirs"}])
    with other.maintenance(reason="there"):
        other.materialize(archive_overlays=True)
    shown.part("look").click()
    expect(shown.part("conflict").first).to_be_visible()
    expect(shown.part("push")).to_be_disabled()
    shown.part("keep-mine").first.click()
    expect(shown.part("conflict")).to_have_count(0)
    shown.part("push").click()
    expect(shown.part("confirm")).to_be_enabled()
    shown.part("confirm").click()
    expect(shown.part("receipt-text")).to_be_visible()
    assert len(events(other, "push")) == 2
    # The loser is kept.
    assert list(other.snapshot_dir.rglob("*.parquet")), "their base stays as a snapshot"
    assert pd.read_parquet(other.records_path).equals(pd.read_parquet(ds.records_path))


# Kills --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    """One way of writing from a panel: how it is begun, and what it leaves in which log."""

    panel: str
    action: str
    begin: str = ""
    how: dict[str, str] = field(default_factory=dict)


WRITES = {
    "attach": Write("attach", "attach", how={"namespace": "lab", "source": "IN"}),
    "materialize": Write("materialize", "materialize", "take-k"),
    "curate": Write("curate", "state_set", "all-fail"),
    "keys": Write("curate", "state_set", "keys"),
    "pull": Write("sync", "pull", "pull", {"remote": "loop"}),
    "push": Write("sync", "push", "push", {"remote": "loop"}),
}
#: What CI has the time for; the rest runs at night.
SOON = {("attach", "kill registered", "marimo"), ("attach", "kill after", "jupyter"),
        ("push", "kill after", "marimo"), ("push", "kill before", "jupyter")}  # fmt: skip
KILLS = [
    pytest.param(
        (w, f), h, id=f"{w}, {f}, {h}", marks=[] if (w, f, h) in SOON else pytest.mark.nightly
    )
    for w in WRITES
    for f in ("kill before", *(["kill registered"] if w == "attach" else []), "kill after")
    for h in ("marimo", "jupyter")
]


@pytest.mark.parametrize(("case", "desk"), KILLS, indirect=["desk"])
def test_a_killed_kernel_leaves_before_or_after_and_the_panel_says_which(
    case, desk, second, ds, loop
):
    (write, fault), folder = case, ds.root.parent
    desk.forgiven = GONE
    ids = with_parts(ds)
    pid, source = folder / "pid", folder / "in.csv"
    source.write_text(f"id,x\n{ids[33]},9\n")
    env, told = {"USR_TEST_PID": str(pid)}, ds
    w = WRITES[write]
    if w.panel == "sync":
        env |= loop()
        other = Dataset.open(folder / "there/datasets", NAME)
        told = ds if write == "pull" else other
        (other if write == "pull" else ds).write_overlay_part("k", [{"id": ids[0], "x": 7.0}])
    how = {k: str(source) if v == "IN" else v for k, v in w.how.items()}
    there = {"at": second, "env": env, "name": "kill", **how}
    earlier = "earlier-keys" if write == "keys" else "earlier"
    before, values = len(events(told, w.action)), held(ds)
    with second.up() if desk.host == "marimo" else contextlib.nullcontext():
        shown = desk.open(ds.root, w.panel, fault=fault, **there)
        button = started(shown, w.begin)
        dead = int(pid.read_text())
        wait_until(lambda: is_gone(dead), what="the kill")
    assert len(events(told, w.action)) == before + (write == "push" and fault == "kill after")
    assert held(ds) == values or fault == "kill after"
    with second.up() if desk.host == "marimo" else contextlib.nullcontext():
        again = desk.open(ds.root, w.panel, page=shown.page, **there)
        # Opening wrote nothing; the next writer completes what was committed.
        expect(again.part(earlier)).to_contain_text(f"“{button}”")
        is_in = fault == "kill after"
        word = ("is in at loop" if write == "push" else "is in:") if is_in else "is not in"
        expect(again.part(earlier)).to_contain_text(word)
        assert len(events(told, w.action)) == before + (write == "push" and is_in)
        if fault == "kill registered":
            expect(again.part("earlier")).to_contain_text("after it had registered lab__x")
            assert "lab__x" in load_registry(ds.root)["lab"].column_names
            assert parts(ds, "lab") == 0
            again.part("again-earlier").click()
            expect(again.part("earlier")).to_be_hidden()
            confirmed(again)
            assert (parts(ds, "lab"), ds.get(ids[33])["lab__x"].iloc[0]) == (1, 9.0)
        else:
            reopened = desk.again(again, w.panel)
            expect(reopened.part(earlier)).to_be_hidden()
    if write == "push":
        ds.sync_plan("loop").apply("push")
        assert len(events(told, "push")) == before + 1, "done once, whoever finished it"
    else:
        ds.snapshot("next")
        assert len(events(told, w.action)) == before + (fault != "kill before")
    told.validate()


#: What a page says of a server or kernel that is gone.
GONE = (
    "Failed to fetch", "Canceled future for execute_request message before replies were done",
    "An unknown error occurred when fetching the script.",
)  # fmt: skip


def held(ds: Dataset) -> dict:
    """All that a reader sees and that has values."""
    return ds.head(100).dropna(axis=1, how="all").astype(str).to_dict()


def started(shown: hosts.Shown, begin: str) -> str:
    """Begin a write as a person does; returns what it is called."""
    if begin == "keys":
        shown.part("record").focus()
        for k in "pfw":
            shown.page.keyboard.press(k)
        expect(shown.part("unsaved")).to_have_text("3 unsaved")
        shown.page.keyboard.press("g")
        return "3 decisions"
    if begin:
        shown.part(begin).click()
    expect(shown.part("confirm")).to_be_enabled()
    text = shown.part("confirm").inner_text()
    shown.part("confirm").click()
    return text


def is_gone(pid: int) -> bool:
    """Whether a process has ended; whoever started it may not have noticed yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


# The apps -----------------------------------------------------------------------------------------


def test_the_apps_are_importable_and_run_as_scripts(repo, home_env, ds, tmp_path):
    ds.set_state(ds.head_table(1, ["id"])["id"].to_pylist(), qc_status="fail")
    env = {**home_env, "PYTHONPATH": f"{repo}:{repo / 'notebooks'}"}

    def said(*argv: str) -> str:
        command = [sys.executable, "-W", "error", *argv]
        run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True,
                             timeout=60, check=True)  # fmt: skip
        assert run.stderr == ""
        return run.stdout

    code = "import curate, sync; print(type(curate.app).__name__, type(sync.app).__name__)"
    assert said("-c", code) == "App App\n"
    before = ds.events_path.read_bytes()
    where = ["--root", str(ds.root), "--dataset", "demo"]
    told = said(str(repo / "notebooks/curate.py"), *where)
    assert told == f"{NAME}: 36 records; qc none 35, fail 1\n"
    told = said(str(repo / "notebooks/sync.py"), *where, "--remote", "cluster")
    assert told.startswith("USR_REMOTES_PATH is not set")
    assert ds.events_path.read_bytes() == before
