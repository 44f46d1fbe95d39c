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
"""Compare a dataset with its copy at a remote; pull or push by a button of its own.

marimo run notebooks/sync.py -- --root ROOT --dataset NAME --remote NAME
marimo edit --sandbox notebooks/sync.py -- --root ROOT          to change it
python notebooks/sync.py --root ROOT --dataset NAME --remote NAME   the difference in the terminal

USR_REMOTES_PATH names the file of remotes (usr remotes wizard).
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="USR sync")

with app.setup:
    import os

    import marimo as mo

    from usr_nb import Dataset, SequencesError, list_datasets, panel
    from usr_nb.storage.roots import find_root


@app.function
def told(name, variable):
    """What the command line, the address or the environment says, in that order."""
    asked = mo.cli_args().get(name) or mo.query_params().get(name) or os.environ.get(variable)
    return str(asked) if asked else ""


@app.cell
def _():
    root = find_root(told("root", "USR_ROOT") or None)
    _datasets = list_datasets(root)
    _wanted = told("dataset", "USR_DATASET")
    _known = next((d for d in _datasets if _wanted in (d, d.rpartition("/")[2])), None)
    # A dataset that is only there can be named, too: a pull brings it.
    dataset_ui = mo.ui.text(
        value=_known or _wanted or (_datasets[-1] if _datasets else ""), label="Dataset",
        placeholder="namespace/name",
    )  # fmt: skip
    return dataset_ui, root


@app.cell
def _(dataset_ui, root):
    mo.hstack([dataset_ui, mo.md(f"`{root}`")], justify="start")
    return


@app.cell
def _(dataset_ui, root):
    try:
        ds = Dataset.open(root, dataset_ui.value.strip()) if dataset_ui.value.strip() else None
        problem = "" if ds is not None else "Name a dataset."
    except SequencesError as _error:
        ds, problem = None, str(_error)
    mo.stop(ds is None, mo.md(problem))
    return (ds,)


@app.cell
def _(ds):
    sync_ui = panel.sync(ds, remote=told("remote", "USR_REMOTE"))
    sync_ui
    return (sync_ui,)


@app.cell
def _(ds, sync_ui):
    # Once more after each pull or push, and never else.
    mo.md(f"{sync_ui.receipts:,} syncs of {ds.name} from this page")
    return


@app.cell
def _(ds):
    if not mo.running_in_notebook():
        try:
            print(ds.sync_plan(told("remote", "USR_REMOTE")).summary())
        except SequencesError as _error:
            print(_error)
    return


if __name__ == "__main__":
    app.run()
