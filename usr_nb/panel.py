"""Panels for notebooks, made for the host: in marimo an element, elsewhere the bare widget.

>>> from usr_nb import panel

Build a panel in a cell of its own; in marimo it cannot go inside a form, a batch or an array.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from usr_nb.dataset.core import Dataset
from usr_nb.filter.tree import Filter
from usr_nb.widgets.attach import AttachPanel
from usr_nb.widgets.base import Panel
from usr_nb.widgets.curate import CuratePanel
from usr_nb.widgets.describe import DescribePanel
from usr_nb.widgets.filter import FilterPanel
from usr_nb.widgets.history import HistoryPanel
from usr_nb.widgets.materialize import MaterializePanel
from usr_nb.widgets.sequences import SequencesPanel
from usr_nb.widgets.sync import SyncPanel

__all__ = ["attach", "curate", "describe", "filter", "history", "materialize", "sequences", "sync"]


def _for_host(widget: Panel) -> Any:
    """Return what the notebook at hand shows: marimo wants the widget wrapped."""
    # Not imported: a notebook that runs under marimo has done so.
    if "marimo" not in sys.modules:
        return widget
    import marimo as mo

    return mo.ui.anywidget(widget) if mo.running_in_notebook() else widget


def filter(  # noqa: A001 - named as what it shows; the builtin is not needed here
    ds: Dataset | object, *, where: Filter | str | None = None, name: str = "table"
) -> Any:
    """Show which records a filter keeps, and build one by looking: brush, choose, search.

    Parameters
    ----------
    ds : Dataset or table
        The dataset; it is read. Only *Save*, confirmed, writes: one event with the named filter.
        Or a table in memory: Arrow, pandas, Polars.
    where : Filter or str, optional
        The filter to begin with.
    name : str
        What a table is called in the panel.

    Returns
    -------
    FilterPanel or marimo.ui.anywidget
        In marimo wrapped for it (the widget is its ``.widget``), elsewhere the widget. Both have
        ``.filter``, ``.count``, ``.rows()``, ``.ids()`` and ``.selection()``. In marimo a cell
        that uses one of them runs again once per gesture; other panels take it as ``where=``.

    Raises
    ------
    DatasetNotFound, SchemaError, ValidationError
        If the dataset does not exist, or the filter does not fit it.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import F, Dataset, init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> ds.import_rows(["ACGT", "GGCC", "TTAATT"])
    3
    >>> flt = filter(ds, where=F.length < 5)
    >>> flt.count, flt.filter.as_line()
    (2, 'length < 5')
    """
    return _for_host(FilterPanel(ds, where=where, name=name))


def sequences(
    ds: Dataset,
    *,
    rows: Sequence[int] | npt.NDArray[Any] | None = None,
    where: object = None,
) -> Any:
    """Show the sequences of a dataset: letters, features, tracks, comparisons.

    Only what is visible is read, 100 KB at a time, so that a million records open at once.

    Parameters
    ----------
    ds : Dataset
        The dataset; it is read, never written.
    rows : sequence of int, optional
        Only these rows of the base (0-based), in this order; tombstoned rows are left out.
    where : Filter, str, or what `panel.filter` returned, optional
        Only the records that it keeps. A filter panel is followed: in marimo the cell runs again
        after each gesture, elsewhere the panel shows the new rows by itself.

    Returns
    -------
    SequencesPanel or marimo.ui.anywidget
        In marimo wrapped for it (the widget is its ``.widget``), elsewhere the widget.

    Raises
    ------
    DatasetNotFound
        If the dataset does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, register_namespace
    >>> root = tempfile.mkdtemp()
    >>> _ = register_namespace(root, namespace="mock", columns="mock__score:float64")
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> _ = ds.add_sequences([{"sequence": "ACGTACGTAC"}], bio_type="dna", alphabet="dna_4")
    >>> sequences(ds)
    SequencesPanel('demo')
    """
    return _for_host(SequencesPanel(ds, rows=rows, where=where))


def describe(ds: Dataset, *, where: object = None) -> Any:
    """Show what is in a dataset: every column's nulls, range, histogram and values, and sequences.

    The numbers are exact, over all records, and stand beside those of the records that a filter
    keeps. ``ds.profile(where)`` gives the same to a script.

    Parameters
    ----------
    ds : Dataset
        The dataset; it is read, never written.
    where : Filter, str, or what `panel.filter` returned, optional
        The records to tell of beside all. A filter panel is followed: in marimo the cell runs
        again after each gesture, elsewhere the panel shows the new numbers by itself.

    Returns
    -------
    DescribePanel or marimo.ui.anywidget
        In marimo wrapped for it (the widget is its ``.widget``), elsewhere the widget. Other
        panels may follow it: ``panel.sequences(ds, where=described)`` shows the duplicates that
        were clicked.

    Raises
    ------
    DatasetNotFound
        If the dataset does not exist.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> describe(ds, where="length > 50")
    DescribePanel('demo')
    """
    return _for_host(DescribePanel(ds, where=where))


def history(ds: Dataset) -> Any:
    """Show what happened to a dataset: the event log in sentences, newest first.

    It can be filtered by action, actor, time and text; the parts of a run are folded into one
    line; two moments can be compared; new events show up by themselves.

    Parameters
    ----------
    ds : Dataset
        The dataset; its log is read, never written.

    Returns
    -------
    HistoryPanel or marimo.ui.anywidget
        In marimo wrapped for it (the widget is its ``.widget``), elsewhere the widget.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> history(ds)
    HistoryPanel('demo')
    """
    return _for_host(HistoryPanel(ds))


# Panels that write ------------------------------------------------------------------------------


def attach(
    ds: Dataset,
    *,
    source: Any = None,
    namespace: str = "",
    frames: Mapping[str, Any] | None = None,
) -> Any:
    """Attach columns of a file or a table; the dry run is the screen.

    Nothing is written until its button is pressed, and then once: not by running the cell again,
    reloading the page or a double click.

    Parameters
    ----------
    ds : Dataset
        The dataset; it gets one overlay part, and its registry the columns that are missing.
    source : path or table, optional
        What is offered at first. In the panel a path can be typed, or a file uploaded.
    namespace : str, optional
        What is offered at first.
    frames : mapping of str to table, optional
        More tables of the kernel, by name.

    Returns
    -------
    AttachPanel or marimo.ui.anywidget
        Its ``receipts`` counts what it has written; ``last_receipt`` says what.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> attach(ds)
    AttachPanel('demo')
    """
    return _for_host(AttachPanel(ds, source=source, namespace=namespace, frames=frames))


def materialize(ds: Dataset) -> Any:
    """Write overlay values into the base, or many parts into one; what changes is shown first.

    Parameters
    ----------
    ds : Dataset
        The dataset; nothing is written until the button is pressed.

    Returns
    -------
    MaterializePanel or marimo.ui.anywidget

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> materialize(ds)
    MaterializePanel('demo')
    """
    return _for_host(MaterializePanel(ds))


def curate(ds: Dataset, *, where: object = None, columns: Sequence[str] = ()) -> Any:
    """Review records by keyboard: pass, fail, warn, mask, split, delete with a reason, undo.

    What is decided is saved together, after 25 decisions, 5 seconds, or on leaving, as one event;
    an undo is a new event. All records of the filter at once go through a plan.

    Parameters
    ----------
    ds : Dataset
        The dataset.
    where : Filter, str, or what `panel.filter` returned, optional
        Which records; all that are not deleted by default.
    columns : sequence of str
        Derived columns to show beside each record.

    Returns
    -------
    CuratePanel or marimo.ui.anywidget

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, init_root
    >>> root = tempfile.mkdtemp()
    >>> _ = init_root(root)
    >>> ds = Dataset.open(root, "demo")
    >>> ds.init()
    >>> curate(ds)
    CuratePanel('demo')
    """
    return _for_host(CuratePanel(ds, where=where, columns=tuple(columns)))


def sync(ds: Dataset, *, remote: str = "") -> Any:
    """Compare a dataset with its copy at a remote; pull or push by a button of its own.

    Parameters
    ----------
    ds : Dataset
        The dataset; it need not exist here yet.
    remote : str, optional
        A name in the file of ``USR_REMOTES_PATH``; it can be chosen in the panel.

    Returns
    -------
    SyncPanel or marimo.ui.anywidget

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset
    >>> sync(Dataset.open(tempfile.mkdtemp(), "lab/demo"))
    SyncPanel('lab/demo')
    """
    return _for_host(SyncPanel(ds, remote=remote))
