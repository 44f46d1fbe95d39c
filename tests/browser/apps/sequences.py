# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""What the browser tests open under marimo: the sequence view of USR_TEST_DATASET."""

import marimo

app = marimo.App(width="full")


@app.cell
def _():
    import os

    import marimo as mo

    from usr_nb import Dataset, panel

    ds = Dataset.open(os.environ["USR_TEST_ROOT"], mo.query_params().get("dataset"))
    return ds, panel


@app.cell
def _(ds, panel):
    view = panel.sequences(ds)
    view  # noqa: B018
    return (view,)


if __name__ == "__main__":
    app.run()
