"""What was planted in the SOS library, told by the factors and not by searching."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from usr_nb.tools.sos import design, signals
from usr_nb.tools.sos.overlays import OverlayStep
from usr_nb.tools.sos.table import as_library, compute_ids

_REPLICATES = tuple(f"log2_rna_dna_r{n}" for n in (1, 2, 3))


def truth(library: pa.Table, overlays: Sequence[OverlayStep]) -> dict[str, Any]:
    """List what was planted, for tests that search for it again.

    Parameters
    ----------
    library : pyarrow.Table
        Columns of ``LIBRARY_SCHEMA``, typed or as text.
    overlays : sequence of OverlayStep
        The steps of :func:`usr_nb.tools.sos.overlays` for this library.

    Returns
    -------
    dict
        JSON-able: counts, ids, and shares of explained variance. Nothing is written to disk.

    Raises
    ------
    SchemaError
        The table is not a library.

    Examples
    --------
    >>> from usr_nb.tools.sos import design_library, overlays
    >>> library = design_library(rows=500)
    >>> truth(library, overlays(library))["planted"]["bsai"]["count"]
    20
    """
    library = as_library(library)
    ids = compute_ids(library["sequence"].to_pylist())
    lengths = library["length"].to_pylist()
    return {
        "note": "Everything is simulated. Offsets are 0-based; ids are record ids.",
        "rows": library.num_rows,
        "length": {
            "min": min(lengths),
            "max": max(lengths),
            "most": design.STANDARD_LENGTH,
            "rows_of_most": lengths.count(design.STANDARD_LENGTH),
        },
        "motifs": _motifs(library),
        "factors": {
            name: dict(sorted(Counter(library[name].to_pylist()).items()))
            for name in ("minus35", "minus10", "up", "tf", "gc_class", "batch")
        },
        "planted": _planted(library, ids),
        "shifted_batch": {
            "batch": design.SHIFTED_BATCH,
            "rows": library["batch"].to_pylist().count(design.SHIFTED_BATCH),
            "shift": {
                "sim_evo2__mean_logprob": signals.SHIFT_EVO2,
                **{f"sim_assay__{name}": signals.SHIFT_ASSAY for name in _REPLICATES},
                **{f"sim_assay__mmc_{name}": signals.SHIFT_ASSAY for name in _REPLICATES},
            },
        },
        "evo2": _evo2(ids, overlays),
        "assay": _barcodes(overlays),
        "hexamer_r2": _r2(library, overlays),
    }


def _motifs(library: pa.Table) -> dict[str, Any]:
    boxes = Counter(library["lexa_box"].to_pylist())
    cpxr = sum(bool(box) for box in library["cpxr_box"].to_pylist())
    lexa = library.num_rows - boxes[""]
    return {
        "lexa": {
            "pattern": design.LEXA_PATTERN,
            "also_exact": ["CTGNNNNNNNNNNCAG"],
            "rows": lexa,
            "occurrences": lexa,
            "boxes": {box: boxes[box] for box in design.LEXA_BOXES},
        },
        "lexa_core": {
            "pattern": design.LEXA_CORE,
            "rows": boxes[design.LEXA_CORE],
            "occurrences": boxes[design.LEXA_CORE],
        },
        "cpxr": {
            "patterns": [
                design.CPXR_HALF + "N" * linker + design.CPXR_HALF for linker in design.CPXR_LINKERS
            ],
            "rows": cpxr,
            "occurrences": cpxr,
        },
    }


def _planted(library: pa.Table, ids: list[str]) -> dict[str, Any]:
    groups: dict[str, list[str]] = defaultdict(list)
    for record_id, kind in zip(ids, library["planted"].to_pylist(), strict=True):
        if kind:
            groups[kind].append(record_id)

    def pairs(prefix: str) -> list[list[str]]:
        return [sorted(found) for kind, found in sorted(groups.items()) if kind.startswith(prefix)]

    rc_pairs, casefold_pairs = pairs("rc_pair"), pairs("casefold_pair")
    return {
        "bsai": {
            "site": design.TYPE_IIS["BsaI"],
            "count": len(groups["bsai"]),
            "ids": sorted(groups["bsai"]),
        },
        "other_type_iis": {
            "sites": {name: site for name, site in design.TYPE_IIS.items() if name != "BsaI"},
            "count": 0,
        },
        "homopolymer": {
            "min_run": design.HOMOPOLYMER_MIN,
            "count": len(groups["homopolymer"]),
            "ids": sorted(groups["homopolymer"]),
        },
        "rc_pairs": {"count": len(rc_pairs), "ids": rc_pairs},
        "casefold_pairs": {"count": len(casefold_pairs), "ids": casefold_pairs},
    }


def _evo2(ids: list[str], overlays: Iterable[OverlayStep]) -> dict[str, Any]:
    steps = [step for step in overlays if step.namespace == "sim_evo2"]
    scored = {key for step in steps for key in step.table["id"].to_pylist()}
    missing = sorted(set(ids) - scored)
    last = steps[-1]
    return {
        "parts": len(steps),
        "missing": {"count": len(missing), "ids": missing},
        "rescored": {
            "part": len(steps) - 1,
            "tool": last.tool,
            "run_id": last.run_id,
            "count": last.table.num_rows,
            "ids": sorted(last.table["id"].to_pylist()),
        },
    }


def _barcodes(overlays: Iterable[OverlayStep]) -> dict[str, Any]:
    found: dict[str, Any] = {"min_barcodes": signals.MIN_BARCODES}
    for step in overlays:
        for name in step.table.column_names:
            if step.namespace == "sim_assay" and name.endswith("n_barcodes"):
                counts = step.table[name].to_numpy()
                found[f"{name}_below"] = int((counts < signals.MIN_BARCODES).sum())
    return found


def _r2(library: pa.Table, overlays: Iterable[OverlayStep]) -> dict[str, float]:
    """R² of the mean of the three replicates, as a reader of the dataset sees them."""
    found: dict[str, float] = {}
    for step in overlays:
        names = [name for name in step.table.column_names if "log2_rna_dna" in name]
        if names:
            columns = [step.table[name].to_numpy(zero_copy_only=False) for name in names]
            label = names[0].removesuffix("_r1") + "_mean"
            found[label] = round(signals.hexamer_r2(library, np.mean(columns, axis=0)), 4)
    return found
