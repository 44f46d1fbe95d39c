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
# ruff: noqa: PLR0917, T201 - marimo passes what a cell needs by position; a script prints
"""Look into a dataset of sequences, with a filter that charts, table and letters follow.

usr open                                                     on your own data
marimo run notebooks/explorer.py -- --root ROOT              the same by hand
marimo edit --sandbox notebooks/explorer.py -- --root ROOT   to change it
python notebooks/explorer.py --root ROOT --dataset NAME      a summary in the terminal
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="USR explorer")

with app.setup:
    import html
    import os

    import marimo as mo
    import numpy as np

    from usr_nb import Dataset, SequencesError, list_datasets, load_columns, panel
    from usr_nb.analysis.charts import (
        MATCH_COLOR,
        SAMPLE_COLOR,
        grid_chart,
        histogram_chart,
        nulls_chart,
    )
    from usr_nb.analysis.explore import (
        count_line,
        gc_fraction,
        numbers,
        numeric_columns,
        sequence_lengths,
    )
    from usr_nb.analysis.pages import display_order, for_display, page_count, page_rows
    from usr_nb.analysis.sampling import dataset_at, sample_dataset, sample_path
    from usr_nb.analysis.subject import table_mask
    from usr_nb.analysis.summary import grid, histogram, null_summary
    from usr_nb.storage.roots import find_root

    A_FILE = "a Parquet file or folder ..."
    #: Of a file the filter counts at most so many rows; of a dataset all.
    MOST_OF_A_FILE = 200_000
    PAGE_SIZE = 20
    STYLE = """
    <style>
      /* As an app the page is all there is: marimo's wide margins would only cost charts. */
      #App:has(.published) > div { padding-inline: 0.75rem; }
      .usr-x { display: flex; flex-direction: column; gap: 0.7rem; }
      .usr-x h2 { margin: 0; font-size: 1.4rem; }
      .usr-bar { display: flex; flex-wrap: wrap; gap: 0.7rem 1.4rem; align-items: flex-end; }
      .usr-bar > div { flex: 0 1 auto; min-width: 0; }
      .usr-bar > .usr-dataset { flex: 0 1 20rem; }
      .usr-bar > .usr-number { flex: 0 1 20rem; }
      .usr-bar > .usr-size, .usr-bar > .usr-seed, .usr-bar > .usr-page { flex: 0 0 7.5rem; }
      .usr-bar > .usr-path { flex: 1 1 19rem; }
      .usr-bar > .usr-log, .usr-bar > .usr-of { padding-bottom: 0.3rem; }
      .usr-charts { display: grid; gap: 1.4rem 1.8rem;
                    grid-template-columns: repeat(auto-fit, minmax(min(18.5rem, 100%), 1fr)); }
      .usr-charts > div { min-width: 0; min-height: 16.5rem; }
      .usr-line { font-size: 1.1rem; font-weight: 600; font-variant-numeric: tabular-nums; }
      .usr-key, .usr-faint { font-size: 0.85rem; opacity: 0.8; overflow-wrap: anywhere; }
      .usr-key { display: flex; gap: 0.3rem 1.2rem; flex-wrap: wrap; }
      .usr-key i { display: inline-block; width: 0.8em; height: 0.8em; border-radius: 2px;
                   margin-right: 0.4em; }
    </style>
    """


@app.function
def told(name, variable):
    """Return what the command line says, else the environment, else ""."""
    value = mo.cli_args().get(name)
    return str(value) if value else os.environ.get(variable, "")


@app.function
def sorry(error):
    """Show an error of the library as what it is: a message and a next step."""
    return mo.callout(mo.md(html.escape(str(error)).replace("\n", "<br>")), kind="warn")


@app.function
def axis_title(root, column):
    """Return what columns.yaml says of a column; "" if nothing, or if it cannot be read."""
    try:
        info = load_columns(root).get(column)
    except SequencesError:
        return ""
    return info.title(column) if info else ""


@app.function
def bar(**items):
    """Lay controls side by side, each findable by its name."""
    cells = "".join(
        f'<div class="usr-{name}" data-testid="{name}">{item}</div>'
        for name, item in items.items()
        if item is not None
    )
    return f'<div class="usr-bar">{cells}</div>'


@app.cell
def _():
    root = find_root(told("root", "USR_ROOT") or None)
    wanted = told("dataset", "USR_DATASET")
    datasets = list_datasets(root)
    return datasets, root, wanted


@app.cell
def _(datasets, wanted):
    _tails = {name.rpartition("/")[2]: name for name in datasets}
    _known = wanted if wanted in datasets else _tails.get(wanted)
    # The last one: of the demo's two that is the library, which has something to explore.
    _first = _known or (A_FILE if wanted or not datasets else datasets[-1])
    dataset_ui = mo.ui.dropdown(
        [*datasets, A_FILE], value=_first, label="Dataset", allow_select_none=False, full_width=True
    )
    path_ui = mo.ui.text(
        value="" if _known else wanted,
        placeholder="path/to/records.parquet",
        label="Path",
        full_width=True,
    )
    size_ui = mo.ui.number(
        start=1,
        stop=MOST_OF_A_FILE,
        value=20_000,
        label="Sample size",
        debounce=True,
        full_width=True,
    )
    seed_ui = mo.ui.number(
        start=0, stop=999_999, value=7, label="Seed", debounce=True, full_width=True
    )
    return dataset_ui, path_ui, seed_ui, size_ui


@app.cell
def _(dataset_ui, path_ui, root, seed_ui, size_ui):
    _path = path_ui if dataset_ui.value == A_FILE else None
    _controls = bar(dataset=dataset_ui, path=_path, size=size_ui, seed=seed_ui)
    mo.Html(
        f'{STYLE}<div class="usr-x"><div><h2>USR explorer</h2>'
        f'<div class="usr-faint">{html.escape(str(root))}</div></div>{_controls}</div>'
    )
    return


@app.cell
def _(dataset_ui, datasets, path_ui, root):
    # What is opened; not what is drawn of it, so that another sample leaves the filter alone.
    ds, whole, _problem = None, None, None
    try:
        if dataset_ui.value != A_FILE:
            ds = Dataset.open(root, dataset_ui.value)
            ds.info()
        elif path_ui.value.strip():
            ds = dataset_at(path_ui.value)
            if ds is None:
                whole = sample_path(path_ui.value, size=MOST_OF_A_FILE)
        elif datasets:
            _problem = "Name a .parquet file, or the folder of a dataset, and press Enter."
        else:
            _problem = (
                f"There is no dataset in {root}.\n"
                "Build the demo with `usr demo`, or name your own root: usr open --root ROOT "
                "(here: --root ROOT, or the variable USR_ROOT)."
            )
    except SequencesError as error:
        ds, _problem = None, error
    if mo.app_meta().mode == "script" and _problem is not None:
        print(_problem)
    sorry(_problem) if _problem is not None else None
    return ds, whole


@app.cell
def _(ds, whole):
    mo.stop(ds is None and whole is None)
    _what = ds if ds is not None else whole.table
    _name = "" if ds is not None else whole.source
    if whole is not None and not whole.is_whole:
        _name += f" ({whole.rows:,} of {whole.total:,} rows, seed {whole.seed})"
    flt, _problem = None, None
    try:
        flt = panel.filter(_what, where=told("where", "USR_WHERE") or None, name=_name)
    except SequencesError as error:
        _problem = error
    if mo.app_meta().mode == "script" and _problem is not None:
        print(_problem)
    flt if _problem is None else sorry(_problem)
    return (flt,)


@app.cell
def _(ds, path_ui, seed_ui, size_ui, whole):
    mo.stop(ds is None and whole is None)
    _drawn = {"size": int(size_ui.value or 1), "seed": int(seed_ui.value or 0)}
    _from = sample_dataset if ds is not None else sample_path
    sample = _from(ds if ds is not None else path_ui.value, **_drawn)
    table = sample.table
    has_sequence = "sequence" in table.column_names
    _none = np.full(table.num_rows, np.nan)
    try:
        lengths = sequence_lengths(table) if has_sequence else _none
        gc_percent = 100 * gc_fraction(table) if has_sequence else _none
    except SequencesError:
        # A column of that name which holds no text.
        has_sequence, lengths, gc_percent = False, _none, _none
    return gc_percent, has_sequence, lengths, sample, table


@app.cell
def _(flt, sample, table):
    mo.stop(flt is None)
    # Runs again once for each gesture in the filter.
    mask = table_mask(flt.filter, table)
    counts = count_line(sample, mask)
    mo.Html(
        f"""<div class="usr-line" data-testid="counts" aria-live="polite">{counts}</div>
        <div class="usr-key">
          <span><i style="background: {MATCH_COLOR}"></i>matching rows</span>
          <span><i style="background: {SAMPLE_COLOR}; opacity: 0.6"></i>all rows of the
          sample</span>
        </div>"""
    )
    return counts, mask


@app.cell
def _(table):
    _numeric = numeric_columns(table.schema)
    _derived = [name for name in _numeric if name != "length"]
    number_ui = mo.ui.dropdown(
        _numeric or ["-"],
        value=(_derived or _numeric or ["-"])[0],
        label="Numeric column",
        allow_select_none=False,
        full_width=True,
    )
    log_ui = mo.ui.checkbox(label="log counts")
    return log_ui, number_ui


@app.cell
def _(gc_percent, has_sequence, lengths, log_ui, mask, number_ui, root, table):
    charts, _log = {}, log_ui.value
    if has_sequence:
        charts["length"] = histogram_chart(
            histogram(lengths, mask, whole=True),
            title="Length",
            axis="Length (nt)",
            log_counts=_log,
        )
        charts["gc"] = histogram_chart(
            histogram(gc_percent, mask, step=5),
            title="GC content",
            axis="GC (%)",
            digits=0,
            log_counts=_log,
        )
        charts["gc-length"] = grid_chart(
            grid(lengths, gc_percent, mask, whole_x=True, step_y=5),
            title="GC against length",
            x="Length (nt)",
            y="GC (%)",
        )
    if number_ui.value in table.column_names:
        _integer = "int" in str(table.schema.field(number_ui.value).type)
        charts["number"] = histogram_chart(
            histogram(numbers(table, number_ui.value), mask, whole=_integer),
            title=number_ui.value,
            axis=axis_title(root, number_ui.value),
            digits=None if _integer else 3,
            log_counts=_log,
        )
    charts["nulls"] = nulls_chart(null_summary(table, mask)) or mo.md("No column has nulls.")
    return (charts,)


@app.cell
def _(charts, log_ui, number_ui):
    _cells = "".join(
        f'<div data-testid="chart-{name}">{mo.as_html(chart)}</div>'
        for name, chart in charts.items()
    )
    mo.Html(
        f'<div class="usr-x">{bar(number=number_ui, log=log_ui)}<div class="usr-charts">{_cells}</div></div>'
    )
    return


@app.cell
def _(mask):
    pages = page_count(mask, page_size=PAGE_SIZE)
    page_ui = mo.ui.number(start=1, stop=pages, value=1, step=1, label="Page", full_width=True)
    return page_ui, pages


@app.cell
def _(mask, page_ui, pages, table):
    _rows = page_rows(table, mask, page=int(page_ui.value or 1), page_size=PAGE_SIZE)
    _first = (int(page_ui.value or 1) - 1) * PAGE_SIZE
    _span = f"rows {_first + 1:,}–{_first + _rows.num_rows:,}" if _rows.num_rows else "no rows"
    _data = for_display(_rows, display_order(_rows.column_names))
    _floats = [f.name for f in _rows.schema if "float" in str(f.type) and "<" not in str(f.type)]
    _table = mo.ui.table(
        _data,
        selection=None,
        pagination=False,
        show_column_summaries=False,
        show_data_types=False,
        show_download=False,
        show_search=False,
        freeze_columns_left=["id"] if "id" in _data and _rows.num_rows else None,
        format_mapping=dict.fromkeys(_floats, "{:.4g}"),
        style_cell=lambda _row, name, _value: (
            {"fontFamily": "monospace"} if name == "sequence" else {}
        ),
        max_height=520,
    )
    _of = mo.Html(
        f'<span class="usr-faint" data-testid="span">of {pages:,} ({_span} of '
        f"{int(mask.sum()):,} matching)</span>"
    )
    mo.vstack([mo.Html(bar(page=page_ui, of=_of)), _table])
    return


@app.cell
def _(ds, flt):
    # Of all records, not of the sample.
    mo.stop(ds is None or flt is None)
    panel.sequences(ds, where=flt)
    return


@app.cell
def _(ds, flt):
    mo.stop(ds is None or flt is None)
    panel.describe(ds, where=flt)
    return


@app.cell
def _(counts, gc_percent, lengths, sample):
    if mo.app_meta().mode == "script":
        print(f"{sample.source}: {counts}")
        for _name, _values in (("length (nt)", lengths), ("GC (%)", gc_percent)):
            _finite = _values[np.isfinite(_values)]
            if len(_finite):
                print(
                    f"  {_name}: {_finite.min():.1f} to {_finite.max():.1f}, "
                    f"mean {_finite.mean():.1f}"
                )
        print(f"  columns: {', '.join(sample.table.column_names)}")
    return


if __name__ == "__main__":
    app.run()
