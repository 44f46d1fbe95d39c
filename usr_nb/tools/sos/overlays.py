"""The overlays of the SOS library: what to write, in which order, under which registration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from usr_nb.tools.sos import design, signals
from usr_nb.tools.sos.table import as_library, compute_ids

_TFBS_DETAIL: Final = "list<struct<offset:int64,orientation:string,tf:string,tfbs:string>>"


@dataclass(frozen=True, slots=True)
class NamespaceSpec:
    """What to register for a namespace; ``columns`` are (full name, type text) in order."""

    owner: str
    description: str
    columns: tuple[tuple[str, str], ...]

    def spec(self) -> str:
        """Return the columns in the text form ``name:type,name:type``.

        Examples
        --------
        >>> REGISTRY["meta"].spec()
        'meta__names:list<string>,meta__batch:string'
        """
        return ",".join(f"{name}:{kind}" for name, kind in self.columns)


@dataclass(frozen=True, slots=True)
class OverlayStep:
    """One overlay part to write, and who is said to have made it.

    ``table`` holds the column named by ``key`` and columns of ``namespace`` in their
    registered types.
    """

    namespace: str
    table: pa.Table
    key: Literal["id", "sequence"]
    tool: str
    run_id: str
    note: str


def _assay_columns(prefix: str) -> tuple[tuple[str, str], ...]:
    replicates = [(f"sim_assay__{prefix}log2_rna_dna_r{n}", "float64") for n in (1, 2, 3)]
    return (*replicates, (f"sim_assay__{prefix}n_barcodes", "int32"))


REGISTRY: Final[Mapping[str, NamespaceSpec]] = MappingProxyType(
    {
        "densegen": NamespaceSpec(
            "densegen",
            "Promoter designs: plan and placed binding sites (0-based offsets)",
            (
                ("densegen__plan", "string"),
                ("densegen__tfbs_parts", "list<string>"),
                ("densegen__used_tfbs", "list<string>"),
                ("densegen__used_tfbs_detail", _TFBS_DETAIL),
                ("densegen__used_tf_list", "list<string>"),
                ("densegen__used_tf_counts", "list<struct<tf:string,count:int64>>"),
            ),
        ),
        "meta": NamespaceSpec(
            "bench",
            "Names and synthesis batch of the designs",
            (("meta__names", "list<string>"), ("meta__batch", "string")),
        ),
        "sim_evo2": NamespaceSpec(
            "evo2-sim",
            "Simulated language model scores, mean log probability in nats per nt",
            (("sim_evo2__mean_logprob", "float64"),),
        ),
        "sim_assay": NamespaceSpec(
            "assay-sim",
            "Simulated reporter assay, log2 RNA/DNA of three replicates; mmc_: with mitomycin",
            (*_assay_columns(""), *_assay_columns("mmc_")),
        ),
        "sim_embed": NamespaceSpec(
            "embed-sim",
            "Simulated sequence embeddings",
            (("sim_embed__vec", f"fixed_size_list<float32>[{signals.EMBED_SIZE}]"),),
        ),
    }
)
"""Namespace to its registration, in the order to register.

``densegen`` also declares the columns that ``usr densegen repair`` derives.
"""

_ASSAY_UNIT: Final = {"unit": "log2 RNA/DNA", "better": "high", "format": ".2f"}
COLUMN_WORDS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "sim_evo2__mean_logprob": {
            "unit": "nats per nt", "label": "Evo2 score, simulated", "better": "high",
            "format": ".3f", "model": "simulated", "reduction": "mean over positions",
        },
        **{
            name: {**_ASSAY_UNIT, "label": f"Activity{words}, replicate {name[-1]}, simulated"}
            for prefix, words in (("", ""), ("mmc_", " with mitomycin"))
            for name, kind in _assay_columns(prefix)
            if kind == "float64"
        },
    }
)  # fmt: skip
"""Column to what ``columns.yaml`` says of it."""


def overlays(library: pa.Table, seed: int = 7) -> list[OverlayStep]:
    """Make every overlay part of the demo, in the order to be written.

    Parameters
    ----------
    library : pyarrow.Table
        Columns of ``LIBRARY_SCHEMA``, typed or as text.
    seed : int
        Same seed, same simulated values.

    Returns
    -------
    list of OverlayStep
        Design, names, 20 parts of scores in row order (2 % of the rows are in none), the
        assay without and with mitomycin, the embedding, and last the part that scores 500
        rows again. Nothing is written to disk.

    Raises
    ------
    SchemaError
        The table is not a library.

    Examples
    --------
    >>> from usr_nb.tools.sos import design_library
    >>> steps = overlays(design_library(rows=500))
    >>> len(steps), steps[0].namespace, steps[-1].table.num_rows
    (26, 'densegen', 125)
    """
    library = as_library(library)
    ids = pa.array(compute_ids(library["sequence"].to_pylist()), pa.string())
    scores = signals.evo2(library, seed)
    return [
        _densegen(library, ids),
        _meta(library),
        *_evo2_parts(scores, ids),
        _assay(library, ids, seed, mitomycin=False),
        _assay(library, ids, seed, mitomycin=True),
        _embedding(library, ids, seed),
        _evo2_again(scores, ids),
    ]


def _densegen(library: pa.Table, ids: pa.Array) -> OverlayStep:
    rows = library.to_pylist()
    detail = pa.struct(
        {
            "offset": pa.int64(),
            "orientation": pa.string(),
            "tf": pa.string(),
            "tfbs": pa.string(),
        }
    )
    table = pa.table(
        {
            "id": ids,
            "densegen__plan": pa.array([design.plan_of(row["minus35"]) for row in rows]),
            "densegen__tfbs_parts": pa.array(
                [[f"{site['tf']}:{site['tfbs']}" for site in _boxes(row)] for row in rows],
                pa.list_(pa.string()),
            ),
            "densegen__used_tfbs_detail": pa.array(
                [_detail(row) for row in rows], pa.list_(detail)
            ),
        }
    )
    note = "Designed binding sites of the SOS library"
    return OverlayStep("densegen", table, "id", "densegen", "design-sos-1", note)


def _boxes(row: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "offset": row[f"{tf}_start"],
            "orientation": row[f"{tf}_strand"],
            "tf": tf,
            "tfbs": row[f"{tf}_box"],
        }
        for tf in ("lexa", "cpxr")
        if row[f"{tf}_box"]
    ]


def _detail(row: dict[str, Any]) -> list[dict[str, Any]]:
    plan = design.plan_of(row["minus35"])
    hexamers = [
        {
            "offset": row[f"{element}_start"],
            "orientation": row["strand"],
            "tf": f"{plan}_{side}",
            "tfbs": row[element],
        }
        for element, side in (("minus35", "upstream"), ("minus10", "downstream"))
    ]
    return sorted(_boxes(row) + hexamers, key=lambda site: (site["offset"], site["tf"]))


def _meta(library: pa.Table) -> OverlayStep:
    table = pa.table(
        {
            "sequence": library["sequence"],
            "meta__names": pa.array(
                [[name] for name in library["name"].to_pylist()], pa.list_(pa.string())
            ),
            "meta__batch": library["batch"],
        }
    )
    note = "Names and batches from the order sheet"
    return OverlayStep("meta", table, "sequence", "bench", "order-sos-1", note)


def _evo2_table(ids: pa.Array, rows: npt.NDArray[np.int64], values: signals.Floats) -> pa.Table:
    return pa.table(
        {
            "id": ids.take(pa.array(rows)),
            "sim_evo2__mean_logprob": pa.array(values, pa.float64()),
        }
    )


def _evo2_parts(scores: signals.Evo2, ids: pa.Array) -> Iterator[OverlayStep]:
    blocks = np.array_split(np.arange(len(ids), dtype=np.int64), signals.EVO2_PARTS)
    for number, block in enumerate(blocks, start=1):
        rows = block[~np.isnan(scores.first[block])]
        note = f"Simulated scores, part {number} of {signals.EVO2_PARTS}"
        table = _evo2_table(ids, rows, scores.first[rows])
        yield OverlayStep("sim_evo2", table, "id", "evo2-sim", "sim-job-8812", note)


def _evo2_again(scores: signals.Evo2, ids: pa.Array) -> OverlayStep:
    table = _evo2_table(ids, scores.rescored, scores.second)
    note = f"Simulated scores again, {table.num_rows} rows, another checkpoint"
    return OverlayStep("sim_evo2", table, "id", "evo2-sim", "sim-job-8907", note)


def _assay(library: pa.Table, ids: pa.Array, seed: int, *, mitomycin: bool) -> OverlayStep:
    result = signals.assay(library, seed, mitomycin=mitomycin)
    names = [name for name, _ in _assay_columns("mmc_" if mitomycin else "")]
    # from_pandas turns NaN into null: too few barcodes is "no value", not "not a number".
    columns = [pa.array(values, pa.float64(), from_pandas=True) for values in result.replicates.T]
    columns.append(pa.array(result.barcodes, pa.int32()))
    table = pa.table([ids, *columns], names=["id", *names])
    run_id, condition = ("sim-run-32", "with") if mitomycin else ("sim-run-31", "without")
    note = f"Simulated reporter assay {condition} mitomycin"
    return OverlayStep("sim_assay", table, "id", "assay-sim", run_id, note)


def _embedding(library: pa.Table, ids: pa.Array, seed: int) -> OverlayStep:
    flat = pa.array(signals.embed(library, seed).ravel(), pa.float32())
    vectors = pa.FixedSizeListArray.from_arrays(flat, signals.EMBED_SIZE)
    table = pa.table({"id": ids, "sim_embed__vec": vectors})
    note = "Simulated embedding of the design factors"
    return OverlayStep("sim_embed", table, "id", "embed-sim", "sim-job-8840", note)
