"""The first rows of a dataset or of a file, and how many there are."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from usr_nb.cli import options, words
from usr_nb.dataset import files_view
from usr_nb.dataset.core import Dataset
from usr_nb.errors import ValidationError


def first_rows(
    source: Dataset | Path,
    n: int,
    columns: list[str] | None,
    *,
    where: str | None,
    order_by: str | None,
    include_deleted: bool,
) -> tuple[pa.Table, str | None]:
    """Return at most `n` rows, and a line that says of how many.

    How many rows a file has is only counted where a filter looks at all of them anyway.

    Raises
    ------
    ValidationError
        The rows of a file are asked for in an order, or by a saved filter.
    """
    if isinstance(source, Dataset):
        hits = source.find_table(
            n, columns, where=options.filter_of(source, where), order_by=order_by or (),
            include_deleted=include_deleted,
        )  # fmt: skip
        return hits.table, words.first(hits, asked=where is not None)
    if order_by is not None or (where or "").startswith("@"):
        raise ValidationError(
            f"{source} is a file: it has no saved filters, and its rows stay in their order",
            hint="Import it into a dataset, or write the filter out.",
        )
    if where is None:
        return files_view.preview(source, n=n, columns=columns), None
    found = files_view.find_rows(source, where, n=n, columns=columns)
    return found.table, words.first(found, asked=True)
