# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "marimo>=0.25.2",
#     "usr-nb",
# ]
#
# [tool.uv.sources]
# usr-nb = { path = "..", editable = true }
#
# [tool.marimo.display]
# theme = "system"
# ///
# ruff: noqa: S311, T201 - simulated data; a script prints
"""The Python API from top to bottom, on a throw-away folder.

marimo edit --sandbox notebooks/quickstart.py    to read, run and change it
marimo run notebooks/quickstart.py               the same as a page
python notebooks/quickstart.py                   in the terminal: what each step gives
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="USR quickstart")

with app.setup:
    import random
    import tempfile
    from pathlib import Path

    import marimo as mo
    import pandas as pd

    from usr_nb import Dataset, F, init_root, list_datasets, panel, register_namespace


@app.cell(hide_code=True)
def _():
    mo.md("""
    # USR in Python

    Sequences in plain Parquet files, with everything that is known about them beside. This page
    writes to a temporary folder only; each step is one or two calls.
    """)
    return


@app.cell
def _():
    # A root holds datasets and one registry of who may write which columns.
    root = Path(tempfile.mkdtemp(prefix="usr-quickstart-"))
    init_root(root)
    register_namespace(
        root,
        namespace="assay",
        columns="assay__log2_activity:float64,assay__batch:string",
        owner="the bench",
        description="activity of promoters, made up here",
    )
    return (root,)


@app.cell
def _(root):
    # Records: their id is a hash of the letters, so that the same sequence is the same record.
    ds = Dataset.open(root, "promoters/first")
    ds.init(source="quickstart")
    _draw = random.Random(1)
    _spacers = ["".join(_draw.choices("ACGT", k=_draw.randint(16, 18))) for _ in range(200)]
    added = ds.add_sequences(
        [{"sequence": f"TTGACA{spacer}TATAAT{'ACGT' * 5}"} for spacer in _spacers],
        bio_type="dna",
        alphabet="dna_4",
        source="designed here",
        on_conflict="ignore",
    )
    print(f"{added.added} records added; datasets: {list_datasets(root)}")
    return added, ds


@app.cell
def _(added, ds):
    # What is known of them is an overlay: appended beside the base, found by id, never in the way.
    _ids = ds.head(added.added)["id"]
    _draw = random.Random(2)
    _frame = pd.DataFrame(
        {
            "id": _ids,
            "log2_activity": [_draw.gauss(2, 1) for _ in _ids],
            "batch": [_draw.choice(["plate 1", "plate 2"]) for _ in _ids],
        }
    )
    written = ds.write_overlay("assay", _frame)
    print(f"{written} rows of activity attached")
    return (written,)


@app.cell
def _(ds, written):
    # Reading merges: base and overlays as one table.
    mo.stop(not written)
    head = ds.head(5, columns=["id", "length", "assay__log2_activity", "assay__batch"])
    print(head.to_string())
    head
    return


@app.cell
def _(ds, written):
    # A filter is a thing of its own: Python, a line, JSON, a hash, a name.
    mo.stop(not written)
    strong = (F["assay__log2_activity"] > 2.5) & F.motif("TTGACA N{17} TATAAT", strand="+")
    ds.save_filter("strong, 17 bp", strong)
    _kept = sum(batch.num_rows for batch in ds.scan(["id"], where=strong))
    print(f"{strong.as_line()}  keeps {_kept}")
    return (strong,)


@app.cell
def _(ds, strong):
    # The same by looking: brush, choose, search. In a cell of its own.
    flt = panel.filter(ds, where=strong)
    flt
    return (flt,)


@app.cell
def _(flt):
    # This cell runs again once after each gesture in the panel.
    print(f"{flt.count} records: {flt.filter.as_line()}")
    mo.md(f"**{flt.count}** records are kept, the first: `{flt.ids()[:1]}`")
    return


@app.cell
def _(ds, flt):
    panel.sequences(ds, where=flt)
    return


@app.cell
def _(ds, flt):
    # What is in every column: all records, and beside them those that the filter keeps.
    panel.describe(ds, where=flt)
    return


@app.cell
def _(ds, strong):
    # The best ten, at least three letters apart: ids that do not change, beside their rule.
    picked = ds.pick(
        where=strong,
        order_by=F["assay__log2_activity"].desc(),
        top=10,
        metric="edit",
        min_distance=3,
    )
    print(f"{len(picked.ids)} picked by {picked.rule.order_by[0]}")
    return (picked,)


@app.cell
def _(ds, picked):
    # Record state, and deletions that can be taken back; the log keeps who did what.
    ds.set_state(list(picked.ids), qc_status="pass", split="test")
    _worst = ds.pick(order_by="assay__log2_activity asc", top=1).ids
    ds.tombstone(list(_worst), reason="too weak")
    print(f"{ds.info().rows_live} live records; state of the best: {ds.get_state(picked.ids[:1])}")
    done = True
    return (done,)


@app.cell
def _(done, ds, root):
    # Out again, and a check of every rule on every file.
    mo.stop(not done)
    out = ds.export("csv", root / "strong.csv", where="qc_status == pass")
    report = ds.validate()
    print(f"{out.rows} records exported; {len(report.findings)} findings")
    return


@app.cell
def _(done, ds):
    mo.stop(not done)
    for _event in ds.events()[-4:]:
        print(_event["timestamp_utc"][:19], _event["action"])
    panel.history(ds)
    return


if __name__ == "__main__":
    app.run()
