# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""What the browser tests open under marimo: a filter panel, and cells that follow it."""

import marimo

app = marimo.App(width="full")


@app.cell
def _():
    import os
    from pathlib import Path

    import marimo as mo

    from usr_nb import Dataset, panel

    root = Path(os.environ["USR_TEST_ROOT"])
    name = mo.query_params().get("dataset")
    log = root / f"{name.replace('/', '-')}.runs.txt"
    ds = Dataset.open(root, name)
    # Who looks at the kernel's memory needs to know which process it is.
    (root / "kernel.txt").write_text(str(os.getpid()))
    return ds, log, mo, panel


@app.cell
def _(ds, panel):
    flt = panel.filter(ds)
    flt  # noqa: B018
    return (flt,)


@app.cell
def _(flt, log, mo):
    # Each run of this cell is one line: the tests count them.
    with log.open("a") as _out:
        _out.write(f"{flt.count} {flt.filter.as_line()}\n")
    mo.Html(f'<div data-testid="follower">{flt.count}</div>')


@app.cell
def _(ds, flt, panel):
    view = panel.sequences(ds, where=flt)
    view  # noqa: B018
    return (view,)


if __name__ == "__main__":
    app.run()
