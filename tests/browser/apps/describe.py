# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""What the browser tests open under marimo: the description of USR_TEST_DATASET."""

import marimo

app = marimo.App(width="full")


@app.cell
def _():
    import os

    import marimo as mo

    from usr_nb import Dataset, panel

    ds = Dataset.open(os.environ["USR_TEST_ROOT"], mo.query_params().get("dataset"))
    return ds, mo, panel


@app.cell
def _(ds, mo, panel):
    view = panel.describe(ds, where=mo.query_params().get("where") or None)
    view  # noqa: B018
    return (view,)


@app.cell
def _(ds, panel, view):
    # It follows the duplicates that are clicked: this cell runs again, once per click.
    below = panel.sequences(ds, where=view)
    below  # noqa: B018


if __name__ == "__main__":
    app.run()
