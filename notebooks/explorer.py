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
"""Look into a dataset of sequences, with a filter that every chart follows.

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

    from usr_nb import Dataset, SequencesError, list_datasets
    from usr_nb.analysis.charts import (
        MATCH_COLOR,
        SAMPLE_COLOR,
        grid_chart,
        histogram_chart,
        nulls_chart,
    )
    from usr_nb.analysis.explore import (
        Criteria,
        count_line,
        filter_mask,
        gc_fraction,
        numbers,
        numeric_columns,
        sequence_lengths,
        text_columns,
    )
    from usr_nb.analysis.pages import display_order, for_display, page_count, page_rows
    from usr_nb.analysis.sampling import sample_dataset, sample_path
    from usr_nb.analysis.summary import grid, histogram, null_summary
    from usr_nb.storage.roots import find_root

    A_FILE = "a Parquet file or folder ..."
    PAGE_SIZE = 20
    STYLE = """
    <style>
      /* As an app the page is all there is: marimo's wide margins would only cost charts. */
      #App:has(.published) > div { padding-inline: 0.75rem; }
      .usr-x { display: flex; flex-direction: column; gap: 0.7rem; }
      .usr-x h2 { margin: 0; font-size: 1.4rem; }
      .usr-bar { display: flex; flex-wrap: wrap; gap: 0.7rem 1.4rem; align-items: flex-end; }
      .usr-bar:has(> .usr-gc) { align-items: center; }
      .usr-bar > div { flex: 0 1 auto; min-width: 0; }
      .usr-bar > .usr-dataset { flex: 0 1 20rem; }
      .usr-bar > .usr-number { flex: 0 1 20rem; }
      .usr-bar > .usr-size, .usr-bar > .usr-seed, .usr-bar > .usr-page { flex: 0 0 7.5rem; }
      .usr-bar > .usr-column { flex: 0 1 13rem; }
      .usr-bar > .usr-kind { flex: 0 0 9rem; }
      .usr-bar > .usr-path, .usr-bar > .usr-search { flex: 1 1 19rem; }
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
        start=1, stop=200_000, value=2_000, label="Sample size", debounce=True, full_width=True
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
def _(dataset_ui, datasets, path_ui, root, seed_ui, size_ui):
    _drawn = {"size": int(size_ui.value or 1), "seed": int(seed_ui.value or 0)}
    sample, _problem = None, None
    try:
        if dataset_ui.value != A_FILE:
            sample = sample_dataset(Dataset.open(root, dataset_ui.value), **_drawn)
        elif path_ui.value.strip():
            sample = sample_path(path_ui.value, **_drawn)
        elif datasets:
            _problem = "Name a .parquet file, or the folder of a dataset, and press Enter."
        else:
            _problem = (
                f"There is no dataset in {root}.\n"
                "Build the demo with `usr demo`, or name your own root: usr open --root ROOT "
                "(here: --root ROOT, or the variable USR_ROOT)."
            )
    except SequencesError as error:
        _problem = error
    if mo.app_meta().mode == "script" and _problem is not None:
        print(_problem)
    sorry(_problem) if _problem is not None else None
    return (sample,)


@app.cell
def _(sample):
    mo.stop(sample is None)
    table = sample.table
    has_sequence = "sequence" in text_columns(table.schema)
    _none = np.full(table.num_rows, np.nan)
    lengths = sequence_lengths(table) if has_sequence else _none
    gc_percent = 100 * gc_fraction(table) if has_sequence else _none
    return gc_percent, has_sequence, lengths, table


@app.cell
def _(gc_percent, has_sequence, lengths, table):
    _texts = text_columns(table.schema)
    column_ui = mo.ui.dropdown(
        _texts or ["-"],
        value=_texts[0] if _texts else "-",
        label="in column",
        allow_select_none=False,
        full_width=True,
    )
    kind_ui = mo.ui.dropdown(
        {"text": "text", "regex": "regex", "IUPAC motif": "iupac"},
        value="IUPAC motif" if has_sequence else "text",
        label="as",
        allow_select_none=False,
        full_width=True,
    )
    search_ui = mo.ui.text(
        placeholder="TTGACA N{16,18} TATAAT", label="Find", debounce=300, full_width=True
    )
    strands_ui = mo.ui.checkbox(value=True, label="both strands")

    def _extent(values):
        finite = values[np.isfinite(values)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0, 1)
        return int(np.floor(low)), int(max(np.ceil(high), np.floor(low) + 1))

    length_range, gc_range = _extent(lengths), _extent(gc_percent)
    length_ui, gc_ui = (
        mo.ui.range_slider(*_range, 1, value=_range, label=_label, show_value=True, debounce=True)
        for _range, _label in ((length_range, "Length (nt)"), (gc_range, "GC (%)"))
    )
    return (
        column_ui,
        gc_range,
        gc_ui,
        kind_ui,
        length_range,
        length_ui,
        search_ui,
        strands_ui,
    )


@app.cell
def _(column_ui, gc_ui, has_sequence, kind_ui, length_ui, search_ui, strands_ui):
    _strands = strands_ui if kind_ui.value == "iupac" else None
    _ranges = {"length": length_ui, "gc": gc_ui} if has_sequence else {}
    mo.Html(
        f'<div class="usr-x">{bar(search=search_ui, column=column_ui, kind=kind_ui)}'
        f"{bar(strands=_strands, **_ranges)}</div>"
    )
    return


@app.cell
def _(
    column_ui,
    gc_range,
    gc_ui,
    kind_ui,
    length_range,
    length_ui,
    sample,
    search_ui,
    strands_ui,
    table,
):
    # A slider at both of its ends asks for nothing, so that rows without a value stay.
    criteria = Criteria(
        search=search_ui.value,
        kind=kind_ui.value,
        both_strands=strands_ui.value,
        column=column_ui.value,
        length=None if tuple(length_ui.value) == length_range else tuple(length_ui.value),
        gc=None if tuple(gc_ui.value) == gc_range else (gc_ui.value[0] / 100, gc_ui.value[1] / 100),
    )
    try:
        mask = filter_mask(table, criteria)
        _problem = None
    except SequencesError as error:
        mask, _problem = np.zeros(table.num_rows, bool), error
    counts = count_line(sample, mask)
    _line = mo.Html(
        f"""<div class="usr-line" data-testid="counts" aria-live="polite">{counts}</div>
        <div class="usr-key">
          <span><i style="background: {MATCH_COLOR}"></i>matching rows</span>
          <span><i style="background: {SAMPLE_COLOR}; opacity: 0.6"></i>all rows of the
          sample</span>
        </div>"""
    )
    mo.vstack([_line, sorry(_problem)]) if _problem is not None else _line
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
def _(gc_percent, has_sequence, lengths, log_ui, mask, number_ui, table):
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
            axis="",
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
