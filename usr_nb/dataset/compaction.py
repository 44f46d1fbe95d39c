"""``compact_overlay``: one file for all parts of a namespace (contract OVL-9, OVL-10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from usr_nb.contract.names import check_namespace
from usr_nb.contract.times import parse, to_snapshot_stamp
from usr_nb.dataset.context import Change, Context, change
from usr_nb.errors import NamespaceError, did_you_mean, join_hints
from usr_nb.overlay.compact import fold
from usr_nb.overlay.merge import Merged
from usr_nb.overlay.parts import PartInfo
from usr_nb.storage import door
from usr_nb.storage.layout import archived_path


@dataclass(frozen=True)
class CompactResult:
    """What a compaction did.

    Attributes
    ----------
    files_before : int
        Overlay files of the namespace before.
    rows : int
        Keys in the one file there is now.
    path : str or None
        That file, relative to the dataset; None if there was nothing to do.
    archived : list of str
        Where the old files are now, relative to the dataset.
    """

    files_before: int
    rows: int
    path: str | None
    archived: list[str]


def parts_to_fold(merged: Merged, namespace: str, *, dataset: str) -> list[PartInfo]:
    """Return the files of a namespace, oldest first.

    Raises
    ------
    NamespaceError
        If there are none.
    """
    infos = merged.parts(namespace) if namespace in merged.view.overlays else []
    if not infos:
        there = list(merged.view.overlays)
        raise NamespaceError(
            f"Dataset '{dataset}' has no overlay of namespace '{namespace}'",
            hint=join_hints(did_you_mean(namespace, there), "See `usr info`."),
        )
    return infos


def is_compact(infos: Sequence[PartInfo], *, single_file: bool) -> bool:
    """Say whether there is nothing to do."""
    return len(infos) == 1 and infos[0].file.is_single == single_file


def compact_overlay(ctx: Context, namespace: str, *, single_file: bool) -> CompactResult:
    """Rewrite all parts of a namespace into one; see :meth:`Dataset.compact_overlay`."""
    check_namespace(namespace)

    def build(c: Change) -> CompactResult:
        return stage_compact(c, namespace, single_file=single_file)

    return change(
        ctx, "compact_overlay", build, args=compact_args(namespace, single_file=single_file)
    )


def compact_args(namespace: str, *, single_file: bool) -> dict[str, Any]:
    """Return what the event tells of the call."""
    return {"namespace": namespace, "single_file": single_file}


def stage_compact(c: Change, namespace: str, *, single_file: bool) -> CompactResult:
    """Stage one file for all parts of a namespace, and put the old ones aside."""
    merged = Merged(c.view, c.registry, include_overlays=[namespace], include_deleted=True)
    infos = parts_to_fold(merged, namespace, dataset=c.ctx.name)
    if is_compact(infos, single_file=single_file):
        return CompactResult(1, infos[0].rows, None, [])
    folded = fold(merged, namespace, infos)
    # The smallest time of its inputs: a part that lands meanwhile wins over it.
    oldest = infos[0].created_at
    stamp = to_snapshot_stamp(parse(c.stage.at))
    archived = []
    for info in infos:
        to = archived_path(namespace, stamp, info.file.name)
        archived.append(to)
        if info.file.is_single and single_file:
            # This name gets other content, so its old content is kept as a copy.
            with c.stage.file(to) as sink:
                door.copy_into(sink, info.file.at)
        else:
            c.stage.retire(info.file.path, to=to)
    path = c.stage_overlay(
        namespace,
        key=folded.key,
        created_at=oldest,
        schema=folded.schema,
        batches=folded.to_batches(),
        total=folded.num_rows,
        single_file=single_file,
        unspoken=folded.unspoken,
    )
    c.record(
        "compact_overlay",
        metrics={"files_before": len(infos), "rows": folded.num_rows},
        title=f"compacted overlay {namespace}",
        command=["usr", "maintenance", "overlay-compact", c.ctx.name, "--namespace", namespace,
                 *(["--single-file"] if single_file else [])],
    )  # fmt: skip
    return CompactResult(len(infos), folded.num_rows, path, archived)
