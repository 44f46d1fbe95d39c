"""MNT: dedupe and merge_datasets, with every key and every policy."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.dataset.kit import (
    IDS,
    SEQUENCES,
    base,
    cells,
    footer,
    last_event,
    new_dataset,
    nothing_changes,
    refused,
    register_namespace,
    values,
)
from usr_nb import (
    Dataset,
    DatasetNotFound,
    DuplicateIDError,
    NamespaceError,
    SchemaError,
    ValidationError,
    compute_id,
    merge_datasets,
)

CASES = ["ACGT", "acgt", "TTTT", "AcGt", "GGGG", "tttt"]


def dedupe(ds: Dataset, **how):
    with ds.maintenance(reason="test"):
        return ds.dedupe(**how)


@pytest.mark.parametrize(("keep", "left"), [("keep-first", [0, 2, 4]), ("keep-last", [3, 4, 5])])
def test_MNT_1_dedupe_ignoring_case(root, keep, left) -> None:
    ds = new_dataset(root, "ns/cases", CASES)
    ids = cells(ds, "id")
    prior = ds.records_path.read_bytes()
    with nothing_changes(root):
        plan = ds.dedupe(key="sequence_ci", keep=keep, dry_run=True)
    assert (plan.rows_dropped, plan.groups, plan.dry_run) == (3, 2, True)
    result = dedupe(ds, key="sequence_ci", keep=keep)
    assert cells(ds, "id") == [ids[i] for i in left]
    assert (result.rows_before, result.rows_dropped, result.groups) == (6, 3, 2)
    gone = pq.read_table(ds.dir / result.dropped_ids).column("id").to_pylist()
    assert sorted(gone) == sorted(set(ids) - {ids[i] for i in left})
    assert (ds.dir / result.snapshot).read_bytes() == prior
    assert result.snapshot.endswith("-auto.parquet")
    metrics = last_event(ds, "dedupe")["metrics"]
    assert (metrics["rows"], metrics["rows_dropped"], metrics["groups"]) == (3, 3, 2)
    assert ds.validate(strict=True).errors == []
    with nothing_changes(root):
        assert dedupe(ds, key="sequence_ci", keep=keep).rows_dropped == 0


@pytest.mark.parametrize("key", ["sequence", "sequence_norm", "id"])
def test_MNT_1_exact_keys_find_rows_that_other_tools_repeated(root, key) -> None:
    ds = new_dataset(root, "ns/twice", SEQUENCES)
    whole = base(ds)
    pq.write_table(
        pa.concat_tables([whole, whole.slice(1, 2)]), ds.records_path, compression="zstd"
    )
    ds.write_overlay("k", [{"id": i, "x": float(n)} for n, i in enumerate(IDS)])
    result = dedupe(ds, key=key)
    assert result.rows_dropped == 2
    assert cells(ds, "id") == IDS
    assert cells(ds, "k__x") == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    # The ids live on in the rows that stay, so nothing was dropped for good.
    assert result.dropped_ids is None
    assert result.values_lost == {}


def test_MNT_1_same_letters_of_another_kind_are_no_duplicates(root) -> None:
    ds = new_dataset(root, "ns/kinds", ["ACG"])
    ds.import_rows(["ACG"], "rna", "rna_4")
    with nothing_changes(root):
        assert dedupe(ds, key="sequence").rows_dropped == 0
    with refused(root, ValidationError, "dna_4"):
        dedupe(ds, key="sequence_ci")


def test_MNT_1_overlays_of_the_survivor_stay_and_lost_values_are_told(root) -> None:
    ds = new_dataset(root, "ns/cases", CASES)
    ids = cells(ds, "id")
    ds.write_overlay("m", [{"id": i, "n": float(k), "s": None} for k, i in enumerate(ids)])
    with ds.maintenance(reason="test"):
        ds.materialize(["m"])
    ds.write_overlay("k", [{"sequence": "ACGT", "x": 7.0}, {"sequence": "TTTT", "x": 8.0}],
                     key="sequence")  # fmt: skip
    ds.set_state(ids[1], split="val")
    result = dedupe(ds, key="sequence_ci")
    assert cells(ds, "m__n") == [0.0, 2.0, 4.0]
    assert cells(ds, "k__x") == [7.0, 8.0, None]
    assert result.values_lost == {"m": 3, "usr_state": 1}
    assert sum(result.values_lost.values()) == last_event(ds, "dedupe")["metrics"]["values_lost"]
    assert ds.validate(strict=True).errors == []
    ds.import_rows(["acgt"])
    assert cells(ds, "m__n")[-1] is None


def test_MNT_1_a_live_row_stays_before_a_hidden_one(root) -> None:
    ds = new_dataset(root, "ns/cases", CASES)
    ids = cells(ds, "id")
    ds.tombstone([ids[0], ids[5]])
    dedupe(ds, key="sequence_ci")
    assert cells(ds, "id") == [ids[1], ids[2], ids[4]]
    assert ds.info().rows_deleted == 0


def test_MNT_1_dedupe_needs_a_section_and_known_words(ds, root) -> None:
    with refused(root, ValidationError, "maintenance"):
        ds.dedupe()
    for how in ({"key": "name"}, {"keep": "keep-all"}):
        with refused(root, ValidationError):
            dedupe(ds, **how)


# Merge -----------------------------------------------------------------------------------------


def two(root) -> tuple[Dataset, Dataset]:
    """dest has 0..3 with m__n in the base; src has 2..5, new letters, m__n and m__s in the base."""
    dest, src = (
        new_dataset(root, "a/dest", SEQUENCES[:4]),
        new_dataset(root, "a/src", SEQUENCES[2:]),
    )
    dest.write_overlay("m", [{"id": IDS[0], "n": 10.0}, {"id": IDS[2], "n": 12.0}])
    src.write_overlay(
        "m", [{"id": i, "n": float(k), "s": f"s{k}"} for k, i in enumerate(IDS) if k > 1]
    )
    for ds in (dest, src):
        with ds.maintenance(reason="test"):
            ds.materialize(keep_overlays=False)
    return dest, src


POLICY = {
    "skip": ([10.0, None, 12.0, None, 4.0, 5.0], [None] * 4 + ["s4", "s5"], (0, 0)),
    "prefer-dest": (
        [10.0, None, 12.0, 3.0, 4.0, 5.0],
        [None, None, "s2", "s3", "s4", "s5"],
        (3, 0),
    ),
    "prefer-src": ([10.0, None, 2.0, 3.0, 4.0, 5.0], [None, None, "s2", "s3", "s4", "s5"], (3, 1)),
}


@pytest.mark.parametrize("policy", POLICY)
def test_MNT_2_policies_for_duplicates(root, policy) -> None:
    dest, src = two(root)
    essentials = base(dest).select(base(dest).schema.names[:7])
    theirs, mine = values(src), footer(dest.records_path)
    n, s, cells_changed = POLICY[policy]
    with nothing_changes(root):
        plan = merge_datasets(root, dest="a/dest", src="a/src", if_duplicate=policy, dry_run=True)
    result = merge_datasets(root, dest="a/dest", src="a/src", if_duplicate=policy)
    assert (result.rows_src, result.rows_added, result.duplicates_total) == (4, 2, 2)
    assert (plan.rows_added, plan.duplicates_total, plan.dry_run) == (2, 2, True)
    assert (result.cells_filled, result.cells_replaced) == cells_changed
    assert (plan.cells_filled, plan.cells_replaced) == cells_changed
    assert cells(dest, "id") == IDS
    assert cells(dest, "m__n") == n
    assert cells(dest, "m__s") == s
    assert base(dest).select(essentials.schema.names).slice(0, 4).equals(essentials)
    assert values(src) == theirs
    assert footer(dest.records_path)[b"usr:dataset_created_at"] == mine[b"usr:dataset_created_at"]
    metrics = last_event(dest, "merge_datasets")["metrics"]
    assert metrics["rows_added"] == 2
    assert metrics["duplicates_total"] == 2
    assert len(list(dest.snapshot_dir.glob("*-auto.parquet"))) == 1
    assert dest.validate(strict=True).errors == []


def test_MNT_2_error_policy_names_the_ids(root) -> None:
    two(root)
    with refused(root, DuplicateIDError) as caught:
        merge_datasets(root, dest="a/dest", src="a/src", if_duplicate="error")
    assert [g["id"] for g in caught.value.groups] == IDS[2:4]


def test_MNT_2_column_modes_and_coercion(root) -> None:
    dest, src = two(root)
    with refused(root, SchemaError, "m__s"):
        merge_datasets(root, dest="a/dest", src="a/src", columns="require-same-columns")
    narrow = base(src).set_column(7, "m__n", base(src)["m__n"].cast(pa.float32()))
    pq.write_table(narrow, src.records_path)
    with refused(root, SchemaError, "m__n"):
        merge_datasets(root, dest="a/dest", src="a/src", coerce_overlap="none")
    result = merge_datasets(root, dest="a/dest", src="a/src")
    assert result.columns_added == ["m__s"]
    assert cells(dest, "m__n")[4:] == [4.0, 5.0]
    for word in ("columns", "if_duplicate", "coerce_overlap"):
        with refused(root, ValidationError, word):
            merge_datasets(root, dest="a/dest", src="a/src", **{word: "whatever"})


def test_MNT_2_case_fold_duplicates(root) -> None:
    dest = new_dataset(root, "a/dest", ["ACGT", "GGGG"])
    new_dataset(root, "a/src", ["acgt", "GGGG", "ttaa", "TTAA", "cc"])
    plan = merge_datasets(root, dest="a/dest", src="a/src", dry_run=True)
    assert (plan.rows_added, plan.casefold_skipped, plan.duplicates_total) == (2, 2, 1)
    everything = merge_datasets(
        root, dest="a/dest", src="a/src", avoid_casefold_dups=False, dry_run=True
    )
    # MNT-2: exact duplicates are counted whatever the case-fold rule does.
    assert (everything.rows_added, everything.casefold_skipped, everything.duplicates_total) == (
        4,
        0,
        1,
    )
    merge_datasets(root, dest="a/dest", src="a/src")
    assert cells(dest, "sequence") == ["ACGT", "GGGG", "ttaa", "cc"]


def test_MNT_2_overlays_travel_only_when_carried(root) -> None:
    dest, src = (
        new_dataset(root, "a/dest", SEQUENCES[:3]),
        new_dataset(root, "a/src", SEQUENCES[2:]),
    )
    src.write_overlay("k", [{"id": i, "x": float(k)} for k, i in enumerate(IDS) if k > 1])
    dest.write_overlay("k", [{"id": IDS[0], "x": 100.0}])
    with refused(root, NamespaceError, "'m'"):
        merge_datasets(root, dest="a/dest", src="a/src", carry_namespace="m")
    result = merge_datasets(root, dest="a/dest", src="a/src", carry_namespace="k")
    assert result.carried["k"] == 3
    assert cells(dest, "k__x") == [100.0, None, None, 3.0, 4.0, 5.0]
    again = new_dataset(root, "a/plain", SEQUENCES[:3])
    merge_datasets(root, dest="a/plain", src="a/src")
    assert "k__x" not in again.schema().names
    assert dest.validate(strict=True).errors == []


def test_MNT_2_tombstoned_rows_of_the_source_stay_away(root) -> None:
    dest = new_dataset(root, "a/dest", SEQUENCES[:2])
    src = new_dataset(root, "a/src", SEQUENCES[2:])
    src.tombstone(IDS[3])
    assert merge_datasets(root, dest="a/dest", src="a/src").rows_added == 3
    assert compute_id("dna", SEQUENCES[3]) not in cells(dest, "id", include_deleted=True)


def test_MNT_2_names_are_resolved_and_checked(root, ds) -> None:
    new_dataset(root, "a/src", ["AA"])
    assert merge_datasets(root, dest="demo", src="src", dry_run=True).rows_added == 1
    with refused(root, DatasetNotFound):
        merge_datasets(root, dest="demo", src="nothing")
    with refused(root, ValidationError, "itself"):
        merge_datasets(root, dest="demo", src="ns/demo")


def test_MNT_2_merging_twice_adds_nothing(root) -> None:
    two(root)
    merge_datasets(root, dest="a/dest", src="a/src", if_duplicate="prefer-src")
    for policy in POLICY:
        with nothing_changes(root):
            result = merge_datasets(root, dest="a/dest", src="a/src", if_duplicate=policy)
        assert (result.rows_added, result.duplicates_total) == (0, 4)


def test_MNT_2_a_registration_meanwhile_does_no_harm(root) -> None:
    dest, _ = two(root)
    register_namespace(root, namespace="later", columns="x:int8")
    merge_datasets(root, dest="a/dest", src="a/src")
    assert dest.validate().errors == []
