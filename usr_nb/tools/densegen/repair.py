"""``repair``: mend what DenseGen recorded (contract MNT-4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from usr_nb.dataset.context import Change, change
from usr_nb.dataset.core import Dataset
from usr_nb.dataset.dropping import drop_rows, values_lost
from usr_nb.dataset.maintenance import section
from usr_nb.errors import StalePlanError, ValidationError
from usr_nb.overlay.merge import Merged
from usr_nb.tools.densegen.report import (
    REASONS,
    Choice,
    Dedupe,
    Options,
    Reason,
    RepairGroup,
    RepairReport,
)
from usr_nb.tools.densegen.survey import NAMESPACE, WRITTEN, Survey, check_forms, look
from usr_nb.tools.writing import context_of, stage_rows

ACTION: Final = "repair_densegen"
_SHOWN: Final = 3
Drops = dict[int, Reason]
Choices = Mapping[tuple[str, ...], Choice]


def repair(
    ds: Dataset,
    *,
    min_tfbs_len: int = 6,
    dedupe: Dedupe = "off",
    choose: Callable[[RepairGroup], Choice] | None = None,
    drop_missing_used_tfbs: bool = False,
    drop_single_tf: bool = False,
    drop_id_seq_only: bool = False,
    dry_run: bool = False,
) -> RepairReport:
    """Clean DenseGen's parts and derive again which of them each sequence uses, and where.

    Reads merged columns and writes the rows that change as one ``densegen`` part with one event
    ``repair_densegen``; nothing at all if nothing changes. Only where rows are dropped is the
    base rewritten, in the same commit: after an automatic snapshot, with a list of the dropped
    ids. Offsets are 0-based on the forward strand. A second repair changes nothing.

    Parameters
    ----------
    ds : Dataset
        Must have ``densegen__plan`` and ``densegen__tfbs_parts``, in an overlay or in the base.
        Where a row's parts are null, the sites recorded as used are taken for its parts.
    min_tfbs_len : int
        Parts whose motif is shorter (in bases) go; 2 or more.
    dedupe : {"off", "keep-first", "keep-last", "ask"}
        What to do about live rows that are equal when case is ignored: keep the first or the last
        by time of creation, then id, or call `choose` per group.
    choose : callable
        Group → 1-based number of the row to keep, 0 to drop all, ``"s"`` to leave it alone. Called
        before anything is locked; not called in a dry run.
    drop_missing_used_tfbs, drop_single_tf, drop_id_seq_only : bool
        Drop live rows in which no part is found; in which parts of just one factor are; in which
        every derived column is null or empty.
    dry_run : bool
        Only say what would be done.

    Returns
    -------
    RepairReport

    Raises
    ------
    SchemaError, NamespaceError
        If the columns are not there, not registered, or of another form.
    ValidationError
        If an option or a choice is not allowed.
    StalePlanError
        If equal rows came or went while `choose` was being asked.

    Examples
    --------
    >>> import tempfile
    >>> from usr_nb import Dataset, register_namespace
    >>> from usr_nb.tools.densegen.survey import TYPES
    >>> root = tempfile.mkdtemp()
    >>> spec = ",".join(f"{name}:{text}" for name, text in TYPES.items())
    >>> _ = register_namespace(root, namespace="densegen", columns=spec)
    >>> ds = Dataset.open(root, "densegen/demo")
    >>> ds.init()
    >>> added = ds.add_sequences(["CCTTGACACC"], bio_type="dna", alphabet="dna_4")
    >>> row = {"id": added.ids[0], "plan": "sigma70_high", "tfbs_parts": ["LexA:GTGTCAA", "x:A"]}
    >>> _ = ds.write_overlay_part("densegen", [row])
    >>> repair(ds).touched
    1
    >>> [(s["offset"], s["tf"]) for s in ds.head()["densegen__used_tfbs_detail"][0]]
    [(2, 'lexa'), (2, 'sigma70_high_upstream')]
    """
    options = Options(
        min_tfbs_len=min_tfbs_len, dedupe=dedupe, drop_missing_used_tfbs=drop_missing_used_tfbs,
        drop_single_tf=drop_single_tf, drop_id_seq_only=drop_id_seq_only,
    )  # fmt: skip
    if dedupe == "ask" and choose is None and not dry_run:
        raise ValidationError(
            "dedupe 'ask' needs someone to ask", hint="Use keep-first or keep-last, or give choose."
        )
    ctx = context_of(ds)
    choices: dict[tuple[str, ...], Choice] = {}
    if dry_run or dedupe == "ask":
        with ctx.view() as view:
            merged = Merged(view, ctx.registry(), include_deleted=True)
            survey = _survey(merged, options)
            if dry_run:
                drops = _drops(survey, options, None)
                lost = values_lost(merged, _mask(survey, drops)) if drops else {}
                ids = _example_ids(merged, survey, drops)
                return replace(_report(survey, drops, ids), values_lost=lost, dry_run=True)
        for group, _ in survey.groups if choose is not None else ():
            choices[group.ids] = _checked(choose(group) if choose else "s", group)
    if options.drops:
        ctx.maintenance = section("densegen repair", None)
    return change(ctx, ACTION, lambda c: _write(c, options, choices), args=options.as_plain())


def _survey(merged: Merged, options: Options) -> Survey:
    forms = check_forms(merged, merged.registry)
    wanted = options.dedupe != "off"
    return look(merged, forms, min_length=options.min_tfbs_len, groups=wanted)


def _write(c: Change, options: Options, choices: Choices) -> RepairReport:
    merged = c.merged()
    survey = _survey(merged, options)
    drops = _drops(survey, options, choices)
    report = _report(survey, drops, _example_ids(merged, survey, drops))
    if not drops and not report.touched:
        return report
    artifacts: dict[str, str] = {}
    if drops:
        mask = _mask(survey, drops)
        report = replace(report, values_lost=values_lost(merged, mask))
        dropped = drop_rows(c, merged, mask, why=ACTION)
        artifacts = dropped.artifacts
        report = replace(report, snapshot=dropped.snapshot, dropped_ids=dropped.dropped_ids)
    if report.touched:
        report = replace(report, part=_stage(c, merged, survey, drops, report))
    c.record(
        ACTION,
        metrics={
            "rows": report.rows - report.rows_dropped,
            "touched": report.touched,
            "min_tfbs_len": options.min_tfbs_len,
            "rows_dropped": report.rows_dropped,
            "values_lost": sum(report.values_lost.values()),
        },
        title=f"repaired {report.touched:,} rows, dropped {report.rows_dropped:,}",
        command=options.command(c.ctx.name),
        artifacts=artifacts,
    )
    return report


def _stage(c: Change, merged: Merged, survey: Survey, drops: Drops, report: RepairReport) -> str:
    """Stage the columns that change, for the rows that change and stay."""
    rows = np.array([r for r in survey.changed if r not in drops], np.int64)
    forms = check_forms(merged, c.registry)
    names = [n for n in WRITTEN if report.changes.get(n)]
    there = [n for n in names if n in merged.schema.names]
    before = merged.take(rows, there) if there else None
    cells = {}
    for name in names:
        old = before.column(name).to_pylist() if before is not None and name in there else ()
        new = dict(enumerate(old))
        for i, row in enumerate(rows.tolist()):
            if name in survey.changed[row]:
                new[i] = survey.changed[row][name][1]
        cells[name] = pa.array([new.get(i) for i in range(len(rows))], forms[name])
    return stage_rows(c, merged, NAMESPACE, rows, cells)


# Rows that go -----------------------------------------------------------------------------------


def _checked(choice: object, group: RepairGroup) -> Choice:
    if choice == "s":
        return "s"
    if isinstance(choice, int) and not isinstance(choice, bool) and 0 <= choice <= len(group.rows):
        return choice
    raise ValidationError(
        f"{str(choice)[:40]!r} is not a choice for {len(group.rows)} equal rows",
        hint=f"Give 1 to {len(group.rows)} to keep that row, 0 to drop all, s to skip.",
    )


def _drops(survey: Survey, options: Options, choices: Choices | None) -> Drops:
    """Return base row → why it goes; only live rows go. Without `choices` nobody was asked."""
    drops: Drops = {}
    for group, rows in survey.groups:
        for row in _dropped_of(group, rows, options.dedupe, choices):
            drops[row] = "duplicate"
    asked: tuple[tuple[bool, Reason, list[int]], ...] = (
        (options.drop_missing_used_tfbs, "missing_used_tfbs", survey.nothing),
        (options.drop_single_tf, "single_tf", survey.single),
        (options.drop_id_seq_only, "id_seq_only", survey.bare),
    )
    for wanted, reason, rows in asked:
        for row in rows if wanted else ():
            if survey.live[row]:
                drops.setdefault(row, reason)
    return drops


def _dropped_of(
    group: RepairGroup, rows: list[int], dedupe: Dedupe, choices: Choices | None
) -> list[int]:
    if dedupe != "ask":
        return rows[1:] if dedupe == "keep-first" else rows[:-1]
    if choices is None:
        return []
    choice = choices.get(group.ids)
    if choice is None:
        raise StalePlanError(
            "Rows with equal sequences came or went while you were being asked",
            hint="Nothing was changed. Run the repair again.",
        )
    return [] if choice == "s" else [r for n, r in enumerate(rows, start=1) if n != choice]


def _mask(survey: Survey, drops: Drops) -> Any:
    mask = np.zeros(survey.rows, bool)
    mask[list(drops)] = True
    return mask


# What is told -----------------------------------------------------------------------------------


def _report(survey: Survey, drops: Drops, ids: dict[int, str]) -> RepairReport:
    stays = {r: cells for r, cells in survey.changed.items() if r not in drops}
    columns = Counter(n for cells in stays.values() for n in cells)
    reasons = Counter(drops.values())
    examples = [
        {
            "id": name,
            "drop": drops.get(row),
            "changes": {
                n: {"before": before, "after": after}
                for n, (before, after) in stays.get(row, {}).items()
            },
        }
        for row, name in ids.items()
    ]
    found: dict[str, Any] = dict(survey.found)
    return RepairReport(
        rows=survey.rows,
        groups=len(survey.groups),
        changes={n: columns[n] for n in WRITTEN if columns[n]},
        touched=len(stays),
        drops={r: reasons[r] for r in REASONS if reasons[r]},
        examples=examples,
        **found,
    )


def _example_ids(merged: Merged, survey: Survey, drops: Drops) -> dict[int, str]:
    rows = sorted({*survey.changed, *drops})[:_SHOWN]
    return dict(zip(rows, merged.take(rows, ["id"]).column(0).to_pylist(), strict=True))
