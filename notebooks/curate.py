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
# ruff: noqa: T201 - a script prints
"""Curate a dataset: review records by keyboard, attach columns, materialize, see what happened.

marimo run notebooks/curate.py -- --root ROOT --dataset NAME      in the browser
marimo edit --sandbox notebooks/curate.py -- --root ROOT          to change it
python notebooks/curate.py --root ROOT --dataset NAME             how far the review is
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="USR curate")

with app.setup:
    import os

    import marimo as mo

    from usr_nb import Dataset, SequencesError, list_datasets, panel
    from usr_nb.analysis.review import Review
    from usr_nb.storage.roots import find_root


@app.function
def told(name, variable):
    """What the command line, the address or the environment says, in that order."""
    asked = mo.cli_args().get(name) or mo.query_params().get(name) or os.environ.get(variable)
    return str(asked) if asked else ""


@app.cell
def _():
    root = find_root(told("root", "USR_ROOT") or None)
    datasets = list_datasets(root)
    _wanted = told("dataset", "USR_DATASET")
    _first = next((d for d in datasets if _wanted in (d, d.rpartition("/")[2])), None)
    dataset_ui = mo.ui.dropdown(
        datasets, value=_first or (datasets[-1] if datasets else None), label="Dataset",
        allow_select_none=not datasets,
    )  # fmt: skip
    return dataset_ui, root


@app.cell
def _(dataset_ui, root):
    mo.hstack([dataset_ui, mo.md(f"`{root}`")], justify="start")
    return


@app.cell
def _(dataset_ui, root):
    mo.stop(
        dataset_ui.value is None,
        mo.md(f"There is no dataset in `{root}`. Build the demo with `usr demo`, or name --root."),
    )
    ds = Dataset.open(root, dataset_ui.value)
    return (ds,)


@app.cell
def _(ds):
    review_ui = panel.curate(ds, where=told("filter", "USR_FILTER") or None)
    review_ui
    return (review_ui,)


@app.cell
def _(ds):
    attach_ui = panel.attach(ds)
    materialize_ui = panel.materialize(ds)
    return attach_ui, materialize_ui


@app.cell
def _(attach_ui):
    attach_ui
    return


@app.cell
def _(materialize_ui):
    materialize_ui
    return


@app.cell
def _(attach_ui, ds, materialize_ui, review_ui):
    # Once more after each write of one of the panels, and never else.
    _writes = sum(p.receipts for p in (attach_ui, materialize_ui, review_ui))
    try:
        with Review(ds) as _review:
            _tally = _review.tally()
        progress = f"{ds.name}: {_tally.total:,} records; qc " + ", ".join(
            f"{name or 'none'} {n:,}" for name, n in _tally.qc.items()
        )
    except SequencesError as _error:
        progress = str(_error)
    mo.md(f"{progress} · {_writes:,} writes from this page")
    return (progress,)


@app.cell
def _(ds):
    history_ui = panel.history(ds)
    history_ui
    return


@app.cell
def _(progress):
    if not mo.running_in_notebook():
        print(progress)
    return


if __name__ == "__main__":
    app.run()
