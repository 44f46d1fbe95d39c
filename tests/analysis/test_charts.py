"""Charts carry counts, never rows, and say what they leave out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from usr_nb.analysis.charts import MAX_NULL_COLUMNS, grid_chart, histogram_chart, nulls_chart
from usr_nb.analysis.summary import Nulls, grid, histogram


def data_of(chart) -> list[dict]:
    [rows] = chart.to_dict()["datasets"].values()
    return rows


@pytest.fixture
def values():
    rng = np.random.default_rng(1)
    return rng.normal(50, 10, 50_000), rng.random(50_000) < 0.3


def test_a_histogram_carries_its_counts(values):
    x, keep = values
    counts = histogram(x, keep)
    chart = histogram_chart(counts, title="GC", axis="GC (%)", digits=1)
    rows = data_of(chart)
    assert [r["rows"] for r in rows] == counts.rows.tolist()
    assert [r["matching"] for r in rows] == counts.matching.tolist()
    assert sum(r["rows"] for r in rows) == 50_000
    assert rows[0]["bin"] == f"{counts.edges[0]:.1f} to below {counts.edges[1]:.1f}"


def test_charts_stay_small_whatever_the_sample(values):
    x, keep = values
    for chart in (
        histogram_chart(histogram(x, keep), title="x", axis="x"),
        grid_chart(grid(x, x[::-1], keep), title="x", x="x", y="y"),
    ):
        assert len(json.dumps(chart.to_dict())) < 250_000


def test_whole_numbers_are_told_by_first_and_last():
    chart = histogram_chart(
        histogram(np.array([40.0, 300.0]), np.array([True, True]), whole=True),
        title="Length", axis="Length (nt)",
    )  # fmt: skip
    assert [r["bin"] for r in data_of(chart)][:2] == ["40 to 49", "50 to 59"]
    one = histogram(np.array([3.0, 4.0]), np.array([True, True]), whole=True)
    assert [r["bin"] for r in data_of(histogram_chart(one, title="n", axis=""))] == ["3", "4"]


def test_rows_without_a_value_are_named():
    counts = histogram(np.array([1.0, np.nan, np.inf]), np.ones(3, bool))
    spec = histogram_chart(counts, title="x", axis="").to_dict()
    assert spec["title"]["subtitle"] == "2 rows without a value are not shown"


def test_nulls_are_sorted_and_the_rest_is_counted():
    nulls = [Nulls(f"c{i:02d}", 100, i, 10, 0) for i in range(20)]
    chart = nulls_chart(nulls)
    shown = [r["column"] for r in data_of(chart)]
    assert shown == [f"c{i:02d}" for i in range(19, 19 - MAX_NULL_COLUMNS, -1)]
    subtitle = chart.to_dict()["title"]["subtitle"]
    assert subtitle == f"Columns not shown: 1 without nulls, {19 - MAX_NULL_COLUMNS} with fewer"
    assert nulls_chart(nulls[:1]) is None


def test_no_chart_offers_to_open_a_remote_editor(values):
    chart = histogram_chart(histogram(*values), title="x", axis="x")
    assert chart.to_dict()["usermeta"]["embedOptions"]["actions"]["editor"] is False
