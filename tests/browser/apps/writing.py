# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""What the browser tests open under marimo: one panel that writes, and a cell that counts."""

import marimo

app = marimo.App(width="full")


@app.cell
def _():
    import json

    import marimo as mo

    from tests.browser.faults import arm
    from usr_nb import Dataset, panel

    asked = mo.query_params().to_dict()
    arm(asked.get("fault", ""), json.loads(asked.get("env", "{}")))
    ds = Dataset.open(asked["root"], asked["dataset"])
    how = {k[1:]: v for k, v in asked.items() if k.startswith("_")}
    return asked, ds, how, mo, panel


@app.cell
def _(asked, ds, how, panel):
    view = getattr(panel, asked["panel"])(ds, **how)
    view  # noqa: B018
    return (view,)


@app.cell
def _():
    runs = []
    return (runs,)


@app.cell
def _(mo, runs, view):
    # Runs once when the panel is made, and once more for each write.
    runs.append(view.receipts)
    mo.md(f"<span data-testid='runs'>{len(runs)}:{runs[-1]}</span>")


if __name__ == "__main__":
    app.run()
