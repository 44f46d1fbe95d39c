"""The explorer's charts as Altair objects. Only counts travel to the browser, never rows.

Colours and text are chosen to read on light and on dark ground; axes and labels are left to the
host's theme.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from usr_nb.analysis.summary import Cell, Histogram, Nulls

if TYPE_CHECKING:
    import altair as alt

MATCH_COLOR: Final = "#3b82c4"
"""Rows that match the filter."""
SAMPLE_COLOR: Final = "#9aa3ad"
"""All rows of the sample."""
HEIGHT: Final = 200
MAX_NULL_COLUMNS: Final = 12
_SAMPLE_OPACITY: Final = 0.45
# SVG is crisp, and each mark can be read by a screen reader. Saving a picture is fine; the online
# editor would carry the chart off this machine.
_EMBED: Final[dict[str, Any]] = {
    "embedOptions": {
        "renderer": "svg",
        "actions": {"export": True, "source": False, "compiled": False, "editor": False},
    }
}


def histogram_chart(
    counts: Histogram,
    *,
    title: str,
    axis: str,
    digits: int | None = None,
    log_counts: bool = False,
) -> alt.LayerChart:
    """Draw a histogram: the sample behind, the matching rows in front.

    Parameters
    ----------
    counts : Histogram
        From :func:`usr_nb.analysis.summary.histogram`.
    title, axis : str
        What is shown, and the axis title with its unit; "" for none.
    digits : int, optional
        Decimals of the bin edges in tooltips; None for whole numbers, where a bin is told by its
        first and last one.
    log_counts : bool
        Draw the counts on a logarithmic scale that still shows zero.

    Returns
    -------
    altair.LayerChart
        As wide as its container.

    Examples
    --------
    >>> import numpy as np
    >>> from usr_nb.analysis.summary import histogram
    >>> counts = histogram(np.array([1.0, 2.0]), np.array([True, False]), whole=True)
    >>> chart = histogram_chart(counts, title="Length", axis="Length (nt)")
    >>> [data] = chart.to_dict()["datasets"].values()
    >>> [row["matching"] for row in data]
    [1, 0]
    """
    import altair as alt

    values: list[dict[str, Any]] = [
        {
            "start": float(start), "end": float(end), "rows": int(rows), "matching": int(matching),
            "bin": _bin(float(start), float(end), digits),
            "told": f"{_bin(float(start), float(end), digits)}: {matching:,} of {rows:,} rows",
        }
        for start, end, rows, matching in zip(
            counts.edges[:-1], counts.edges[1:], counts.rows, counts.matching, strict=True
        )
    ]  # fmt: skip
    base = _chart(values).encode(
        x=alt.X("start:Q", bin="binned", title=axis or None).scale(zero=False, nice=False),
        x2="end:Q",
        description="told:N",
        tooltip=[
            alt.Tooltip("bin:N", title=axis or title),
            alt.Tooltip("matching:Q", title="Matching rows", format=","),
            alt.Tooltip("rows:Q", title="Rows of the sample", format=","),
        ],
    )
    return _finish(
        alt.layer(
            base.mark_bar(color=SAMPLE_COLOR, opacity=_SAMPLE_OPACITY).encode(
                y=_rows_axis("rows", log=log_counts)
            ),
            base.mark_bar(color=MATCH_COLOR).encode(y=_rows_axis("matching", log=log_counts)),
        ),
        title,
        counts.missing and f"{counts.missing:,} rows without a value are not shown",
    )


def _bin(start: float, end: float, digits: int | None) -> str:
    if digits is not None:
        return f"{start:,.{digits}f} to below {end:,.{digits}f}"
    return f"{start:,.0f}" if end - start <= 1 else f"{start:,.0f} to {end - 1:,.0f}"


def _rows_axis(field: str, *, log: bool) -> Any:
    import altair as alt

    axis = alt.Axis(format=",d", tickMinStep=1, tickCount=4)
    scale = alt.Scale(type="symlog") if log else alt.Scale()
    return alt.Y(f"{field}:Q", title="Rows", axis=axis, scale=scale)


def grid_chart(cells: Sequence[Cell], *, title: str, x: str, y: str) -> alt.LayerChart:
    """Draw pairs of values as circles, whose area tells how many rows are in the bin.

    Parameters
    ----------
    cells : sequence of Cell
        From :func:`usr_nb.analysis.summary.grid`.
    title, x, y : str
        What is shown, and the axis titles with their units.

    Examples
    --------
    >>> cell = Cell(x0=60, x1=62, y0=50, y1=55, x=60.5, y=51, rows=9, matching=4)
    >>> chart = grid_chart([cell], title="GC against length", x="Length (nt)", y="GC (%)")
    >>> [data] = chart.to_dict()["datasets"].values()
    >>> data[0]["xbin"], data[0]["rows"], data[0]["matching"]
    ('60 to below 62', 9, 4)
    """
    import altair as alt

    values: list[dict[str, Any]] = [
        {
            "x": c.x, "y": c.y, "rows": c.rows, "matching": c.matching,
            "xbin": f"{c.x0:g} to below {c.x1:g}", "ybin": f"{c.y0:g} to below {c.y1:g}",
            "told": f"{c.x:g}, {c.y:g}: {c.matching:,} of {c.rows:,} rows",
        }
        for c in cells
    ]  # fmt: skip
    top = max((c.rows for c in cells), default=1)
    # One row must be seen beside thousands, so the area follows the logarithm.
    size = alt.Scale(type="log", domain=[1, max(top, 2)], range=[12, 280])
    base = _chart(values).encode(
        x=alt.X("x:Q", title=x).scale(zero=False, padding=12),
        y=alt.Y("y:Q", title=y).scale(zero=False, padding=12),
        description="told:N",
        tooltip=[
            alt.Tooltip("xbin:N", title=x),
            alt.Tooltip("ybin:N", title=y),
            alt.Tooltip("matching:Q", title="Matching rows", format=","),
            alt.Tooltip("rows:Q", title="Rows of the sample", format=","),
        ],
    )
    chart = alt.layer(
        base.mark_circle(color=SAMPLE_COLOR, opacity=_SAMPLE_OPACITY).encode(
            size=alt.Size("rows:Q", scale=size, legend=None)
        ),
        base.transform_filter("datum.matching > 0")
        .mark_circle(color=MATCH_COLOR, opacity=0.9)
        .encode(size=alt.Size("matching:Q", scale=size, legend=None)),
    )
    return _finish(chart, title, "Circle area: rows, on a log scale")


def nulls_chart(nulls: Sequence[Nulls], *, title: str = "Nulls") -> alt.LayerChart | None:
    """Draw the share of null cells per column, most first; None if no column has a null.

    At most :data:`MAX_NULL_COLUMNS` columns are shown, and the subtitle says how many are not.

    Examples
    --------
    >>> nulls_chart([Nulls("id", 5, 0, 5, 0)]) is None
    True
    """
    import altair as alt

    holed = sorted((n for n in nulls if n.nulls), key=lambda n: (-n.percent, n.column))
    if not holed:
        return None
    shown = holed[:MAX_NULL_COLUMNS]
    values: list[dict[str, Any]] = [
        {
            "column": n.column, "percent": n.percent, "matching": n.matching_percent,
            "nulls": f"{n.nulls:,} of {n.rows:,}",
            "matching_nulls": f"{n.matching_nulls:,} of {n.matching:,}",
            "told": f"{n.column}: {n.matching_nulls:,} of {n.matching:,} null",
        }
        for n in shown
    ]  # fmt: skip
    base = _chart(values).encode(
        y=alt.Y("column:N", sort=None, title=None, axis=alt.Axis(labelLimit=190)),
        description="told:N",
        tooltip=[
            alt.Tooltip("column:N", title="Column"),
            alt.Tooltip("matching_nulls:N", title="Null in matching rows"),
            alt.Tooltip("nulls:N", title="Null in the sample"),
        ],
    )
    chart = alt.layer(
        base.mark_bar(color=SAMPLE_COLOR, opacity=_SAMPLE_OPACITY).encode(x=_null_axis("percent")),
        base.mark_bar(color=MATCH_COLOR, height={"band": 0.45}).encode(x=_null_axis("matching")),
    )
    rest = len(holed) - len(shown)
    whole = len(nulls) - len(holed)
    note = f"Columns not shown: {whole} without nulls" + (f", {rest} with fewer" if rest else "")
    return _finish(chart, title, note)


def _null_axis(field: str) -> Any:
    import altair as alt

    return alt.X(f"{field}:Q", title="Null cells (%)").scale(domainMin=0)


def _chart(values: list[dict[str, Any]]) -> alt.Chart:
    import altair as alt

    # Inline: a data frame would pass through the host's data transformer, and its row limit.
    data: Any = {"values": values}
    return alt.Chart(data)


def _finish(chart: Any, title: str, note: object) -> alt.LayerChart:
    import altair as alt

    heading = alt.TitleParams(
        title, subtitle=str(note or ""), anchor="start", fontSize=14, subtitleFontSize=11,
        subtitleColor="#8a929c",
    )  # fmt: skip
    finished: alt.LayerChart = (
        chart.properties(title=heading, width="container", height=HEIGHT, usermeta=_EMBED)
        .configure(background="transparent")
        .configure_view(stroke=None)
        .configure_axis(gridOpacity=0.3)
    )
    return finished
