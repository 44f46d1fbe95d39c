#!/usr/bin/env bash
# The blocks of the specification's README, in its order, as one script; only paths, ids and the
# account are adapted. Lines that the README leaves to its reader (files and datasets that its
# examples take for granted) stand under "given:".
#
# Runs in an empty folder that holds demo_material/, with usr, python and ssh on the path;
# tests/cli/test_seed_readme.py does that and looks at what is left.
set -euo pipefail

must_fail() { if "$@"; then echo "expected to fail: $*" >&2; exit 1; fi; }

# CLI availability ---------------------------------------------------------------------------------
usr --help

# Create a dataset, import, register, attach -------------------------------------------------------
# given: a registry, without which no dataset is created; the README registers a namespace later.
usr root init

usr init densegen/demo --source "readme quickstart" --notes "hello, world"

usr import densegen/demo --from csv \
  --path demo_material/demo_sequences.csv \
  --bio-type dna --alphabet dna_4

usr namespace register quickstart \
  --columns "quickstart__X_value:list<float64>,quickstart__intensity_log2_offset_delta:float64"
# given: the namespace of a second writer, DenseGen.
usr namespace register densegen --columns "$(python -c '
from usr_nb.tools.densegen.survey import TYPES
print(",".join(f"{name}:{type}" for name, type in TYPES.items()))')"

usr attach densegen/demo \
  --path demo_material/demo_attachment_one.csv \
  --namespace quickstart --key sequence --key-col sequence --columns X_value

usr attach densegen/demo \
  --path demo_material/demo_y_sfxi.csv \
  --namespace quickstart --key sequence --key-col sequence --columns intensity_log2_offset_delta --allow-missing

must_fail usr attach densegen/demo \
  --path demo_material/demo_attachment_two.csv \
  --namespace quickstart --key sequence --key-col sequence --columns X_value --allow-overwrite

# given: what DenseGen records, and ids to name.
usr head densegen/demo -n 36 --columns id --format csv >all_ids.csv
python - <<'PYTHON'
import csv
ids = [row["id"] for row in csv.DictReader(open("all_ids.csv"))]
for n, some in enumerate((ids[:20], ids[20:]), 1):
    with open(f"designs-{n}.csv", "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "plan", "tfbs_parts"])
        out.writerows(
            [i, "sigma70_mid", '["lexa:CTGTATAT", "cpxr:GTAAACTTT", "x:A"]'] for i in some
        )
PYTHON
usr attach densegen/demo --path designs-1.csv --namespace densegen
usr attach densegen/demo --path designs-2.csv --namespace densegen --allow-overwrite
ID=$(sed -n 2p all_ids.csv)
sed -n 3,4p all_ids.csv >ids.txt

# Follows the log until it has seen two of the events to come.
usr events tail densegen/demo --format json --n 0 --follow | head -n 2 >followed.jsonl &
follower=$!

# Materialize --------------------------------------------------------------------------------------
usr materialize densegen/demo
usr materialize densegen/demo --yes --snapshot-before

# Inspect & validate -------------------------------------------------------------------------------
usr ls                        # list datasets (pretty)
usr ls --format json          # JSON output (stable)
usr info densegen/demo        # rows, columns, namespaces
usr info densegen/demo --format json
usr head densegen/demo -n 5   # first N rows (pretty by default)
usr head densegen/demo -n 5 --columns id,sequence
usr head densegen/demo -n 5 --include-deleted
usr grep densegen/demo --pattern ATG --limit 10

usr schema densegen/demo               # Arrow schema (plain)
usr schema densegen/demo --tree        # pretty tree view
usr schema densegen/demo --format json
usr events tail "$PWD/datasets/densegen/demo" --format json --n 5

usr validate densegen/demo             # checks schema, uniqueness, namespacing
usr validate densegen/demo --strict
usr validate densegen/demo --registry-mode frozen
usr validate densegen/demo --registry-mode either
usr validate "$PWD/datasets/densegen/demo" --strict

# Maintenance (registry + overlays) ----------------------------------------------------------------
usr maintenance registry-freeze densegen/demo
usr maintenance overlay-compact densegen/demo --namespace densegen

# Delete & restore (tombstones) --------------------------------------------------------------------
usr delete densegen/demo --id "${ID:0:8}"
usr delete densegen/demo --id-file ids.txt --reason "bad input"
usr restore densegen/demo --id "${ID:0:8}"

usr state set densegen/demo --id "${ID:0:8}" --masked
usr state set densegen/demo --id "${ID:0:8}" --qc-status pass --split train
usr state get densegen/demo --id "${ID:0:8}"
usr state clear densegen/demo --id "${ID:0:8}"

# Column-wise summary; one record ------------------------------------------------------------------
usr describe densegen/demo --sample 2048

usr get densegen/demo --id "${ID:0:8}" --columns id,sequence,densegen__plan

# Export -------------------------------------------------------------------------------------------
usr export densegen/demo --fmt csv   --out demo_material/out.csv
usr export densegen/demo --fmt csv   --columns id,sequence --out demo_material/out_small.csv
usr export densegen/demo --fmt jsonl --out demo_material/out.jsonl
usr export densegen/demo --fmt csv --out demo_material/out_with_deleted.csv --include-deleted

# or if you're in the cwd of records.parquet
(cd datasets/densegen/demo && usr export --fmt csv --out "$OLDPWD/records.csv")

# Snapshots ----------------------------------------------------------------------------------------
usr snapshot densegen/demo   # writes records-YYYYMMDDThhmmssffffff.parquet under _snapshots/

# Path-first tools ---------------------------------------------------------------------------------
# given: files to look at.
mkdir -p permuter/run42 some/dir lone
cp datasets/densegen/demo/records.parquet permuter/run42/
cp datasets/densegen/demo/records.parquet some/dir/events-1.parquet
cp datasets/densegen/demo/records.parquet some/dir/other.parquet
cp datasets/densegen/demo/records.parquet lone/
(
  cd lone
  usr head .                       # head of a Parquet in the current directory (picker if needed)
  usr cols                         # list columns for ./records.parquet (or the file you pick)
  usr cell --row 0 --col sequence  # print a single cell from ./records.parquet (or the file you pick)
)
usr head permuter/run42/records.parquet
usr cols ./some/dir --glob 'events*.parquet'
must_fail usr head ./some/dir      # two files, and nobody to pick

# De-duplication -----------------------------------------------------------------------------------
usr maintenance dedupe densegen/demo --key sequence_ci --keep keep-first  # case-insensitive (dna_4 only)
usr maintenance dedupe densegen/demo --key sequence --keep keep-last      # case-preserving
usr maintenance dedupe densegen/demo --dry-run             # preview
(
  cd datasets/densegen/demo
  usr densegen repair --dedupe keep-first
  usr densegen repair --filter-single-tf  # remove rows that only contain one type of TF among their TFBSs
  usr densegen repair --drop-id-seq-only  # remove rows that only contain 'id' and 'sequence'
)

# Merge datasets -----------------------------------------------------------------------------------
# given: the two.
for name in 60bp_dual_promoter_cpxR_LexA 60bp_dual_promoter_cpxR_LexA_v2; do
  usr init "densegen/$name"
done
usr import 60bp_dual_promoter_cpxR_LexA_v2 --path demo_material/demo_sequences.csv

usr maintenance merge \
  --dest 60bp_dual_promoter_cpxR_LexA \
  --src  60bp_dual_promoter_cpxR_LexA_v2 \
  --union-columns \
  --if-duplicate skip

# Remote sync (SSH) --------------------------------------------------------------------------------
export USR_REMOTES_PATH="$PWD/config/usr-remotes.yaml"
usr remotes wizard \
  --preset bu-scc \
  --name bu-scc \
  --user "$REMOTE_USER" \
  --host "$REMOTE_HOST" \
  --base-dir "$REMOTE_BASE/usr_datasets"

usr remotes doctor --remote bu-scc

# Preview, then transfer. Pushed first: the README's remote has the dataset already.
usr push densegen/60bp_dual_promoter_cpxR_LexA bu-scc -y
usr diff densegen/60bp_dual_promoter_cpxR_LexA bu-scc --verify auto
usr pull densegen/60bp_dual_promoter_cpxR_LexA bu-scc -y
usr push densegen/60bp_dual_promoter_cpxR_LexA bu-scc -y

# given: a dataset outside the root.
usr root init outputs/usr_datasets
usr --root outputs/usr_datasets init densegen/demo_hpc
usr import "$PWD/outputs/usr_datasets/densegen/demo_hpc" --path demo_material/demo_sequences.csv
usr push "$PWD/outputs/usr_datasets/densegen/demo_hpc" bu-scc -y
usr diff "$PWD/outputs/usr_datasets/densegen/demo_hpc" bu-scc
usr pull "$PWD/outputs/usr_datasets/densegen/demo_hpc" bu-scc -y
usr push "$PWD/outputs/usr_datasets/densegen/demo_hpc" bu-scc -y

# FILE mode; where files lie there is said by repo_root, in its docs.
mkdir -p "$REMOTE_BASE/repo/permuter/run42"
cp permuter/run42/records.parquet "$REMOTE_BASE/repo/permuter/run42/"
python - "$USR_REMOTES_PATH" "$REMOTE_BASE/repo" <<'PYTHON'
import pathlib, sys, yaml
path = pathlib.Path(sys.argv[1])
book = yaml.safe_load(path.read_text())
book["remotes"]["bu-scc"]["repo_root"] = sys.argv[2]
path.write_text(yaml.safe_dump(book))
PYTHON
export DNADESIGN_REPO_ROOT="$PWD"
usr diff permuter/run42/records.parquet bu-scc
usr pull permuter/run42/records.parquet bu-scc -y

# Python API ---------------------------------------------------------------------------------------
# given: the README's namespace `mock`.
usr namespace register mock \
  --columns "mock__score:float64,mock__vec:list<float64>" \
  --owner "your-name" \
  --description "example derived metrics"
python - <<'PYTHON'
from pathlib import Path
from usr_nb import Dataset

root = Path("datasets").resolve()

ds = Dataset.open(root, "densegen/demo_py")
ds.init(source="python quickstart")

result = ds.add_sequences(
    [{"sequence": "ACGTACGTAC"}],
    bio_type="dna",
    alphabet="dna_4",
    source="unit-test",
)
print(result.added)

overlay_df = ds.head(1, include_deleted=True)[["id"]].assign(mock__score=1.0)
ds.write_overlay("mock", overlay_df, key="id")

print(ds.head(3))
PYTHON

# Namespace registry -------------------------------------------------------------------------------
usr namespace list
usr namespace show mock
usr maintenance registry-freeze densegen/demo

# Materialize, and what becomes of the overlays ----------------------------------------------------
usr materialize densegen/demo --archive-overlays
usr attach densegen/demo --path demo_material/demo_attachment_one.csv --allow-overwrite --allow-missing \
  --namespace quickstart --key sequence --key-col sequence --columns X_value
must_fail usr materialize densegen/demo --drop-overlays   # nobody can be asked
usr materialize densegen/demo --drop-overlays --yes

wait "$follower" || true
usr validate densegen/demo --strict
usr doctor
echo "the README ran to its end"
