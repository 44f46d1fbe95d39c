"""Write ``messy.xlsx``, ``barcodes.csv`` and ``controls.fasta``: files as they come in real life.

Run ``python demo_material/make_messy.py`` from the checkout (openpyxl is needed). The same seed
gives the same cells on every machine. Scores and counts are made up. The controls are members of
the Anderson family: sequences and relative RFP fluorescence of the iGEM parts registry
(parts.igem.org/Promoters/Catalog/Anderson).
"""

from __future__ import annotations

import csv
import gzip
import io
import random
import re
import zipfile
from collections import Counter
from pathlib import Path

import openpyxl

SEED = 11
HERE = Path(__file__).resolve().parent
LIBRARY = HERE / "demo_library.csv.gz"

KNOWN, DUPLICATES, UNKNOWN = 479, 12, 9
"""Rows of the sheet by kind: 500 in all."""
BLANK_SCORES = 7
FORMULA = '=HYPERLINK("http://x","y")'
HEADER = (" Sequence ", "Design", "LLR (nats)", "Note ")
BARCODED = 200
BLANK_COUNTS = 5

#: Name, published RFP value (none for the consensus), sequence. J23103 and J23112 share one.
CONTROLS = (
    ("J23112", 1, "CTGATAGCTAGCTCAGTCCTAGGGATTATGCTAGC"),
    ("J23103", 17, "CTGATAGCTAGCTCAGTCCTAGGGATTATGCTAGC"),
    ("J23109", 106, "TTTACAGCTAGCTCAGTCCTAGGGACTGTGCTAGC"),
    ("J23117", 162, "TTGACAGCTAGCTCAGTCCTAGGGATTGTGCTAGC"),
    ("J23105", 623, "TTTACGGCTAGCTCAGTCCTAGGTACTATGCTAGC"),
    ("J23106", 1185, "TTTACGGCTAGCTCAGTCCTAGGTATAGTGCTAGC"),
    ("J23101", 1791, "TTTACAGCTAGCTCAGTCCTAGGTATTATGCTAGC"),
    ("J23100", 2547, "TTGACGGCTAGCTCAGTCCTAGGTACAGTGCTAGC"),
    ("J23119", None, "TTGACAGCTAGCTCAGTCCTAGGTATAATGCTAGC"),
)


def designs() -> list[tuple[str, str]]:
    """Read (name, sequence) of the designs in which nothing is planted."""
    with gzip.open(LIBRARY, "rt", encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    # Letters that stand twice, in whatever case, would make a look-up without case ambiguous.
    often = Counter(r["sequence"].upper() for r in rows)
    return [
        (r["name"], r["sequence"])
        for r in rows
        if not r["planted"] and often[r["sequence"].upper()] == 1
    ]


def _untidy(sequence: str, at: int) -> str:
    """Write a sequence as people paste it: lower case mostly, some mixed, some padded."""
    kind = at % 5
    if kind == 3:
        half = len(sequence) // 2
        return sequence[:half].lower() + sequence[half:]
    return f" {sequence.lower()} " if kind == 4 else sequence.lower()


def sheet(seed: int = SEED) -> list[tuple[str, str, float | None, str | None]]:
    """Make the 500 rows of the sheet."""
    rng = random.Random(seed)
    every = designs()
    known = rng.sample(every, KNOWN)
    letters = {s.upper() for _, s in every}
    unknown: list[tuple[str, str]] = []
    while len(unknown) < UNKNOWN:
        made = "".join(rng.choice("ACGT") for _ in range(60))
        if made not in letters:
            letters.add(made)
            unknown.append((f"new_{len(unknown) + 1}", made))
    rows = [*known, *rng.sample(known, DUPLICATES), *unknown]
    rng.shuffle(rows)
    blank = set(rng.sample(range(len(rows)), BLANK_SCORES))
    scores = [None if at in blank else round(rng.gauss(-0.3, 1.1), 3) for at in range(len(rows))]
    notes: list[str | None] = [None] * len(rows)
    notes[rng.randrange(len(rows))] = FORMULA
    return [
        (_untidy(sequence, at), name, score, note)
        for at, ((name, sequence), score, note) in enumerate(zip(rows, scores, notes, strict=True))
    ]


def messy_xlsx(seed: int = SEED) -> bytes:
    """Make the workbook; it carries no time, so that making it again changes nothing."""
    book = openpyxl.Workbook()
    page = book.active
    page.title = "plate 7 (final)"
    page.append(HEADER)
    for row in sheet(seed):
        page.append(row)
        cell = page.cell(row=page.max_row, column=len(HEADER))
        if cell.value is not None:
            cell.data_type = "s"  # Text that looks like a formula, not a formula.
    made = io.BytesIO()
    book.save(made)
    out = io.BytesIO()
    with zipfile.ZipFile(made) as read, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as write:
        for entry in read.infolist():
            data = read.read(entry)
            if entry.filename == "docProps/core.xml":
                data = re.sub(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", b"2026-01-01T00:00:00Z", data)
            write.writestr(zipfile.ZipInfo(entry.filename, (2026, 1, 1, 0, 0, 0)), data,
                           compress_type=zipfile.ZIP_DEFLATED)  # fmt: skip
    return out.getvalue()


def barcodes_csv(seed: int = SEED) -> str:
    """Make the barcode table: two to four barcodes for each of 200 designs, in no order."""
    rng = random.Random(seed + 1)
    rows = []
    seen: set[str] = set()
    for name, _ in rng.sample(designs(), BARCODED):
        for _ in range(rng.choice((2, 3, 3, 4))):
            barcode = "".join(rng.choice("ACGT") for _ in range(12))
            while barcode in seen:
                barcode = "".join(rng.choice("ACGT") for _ in range(12))
            seen.add(barcode)
            rows.append([barcode, name, str(int(rng.expovariate(1 / 40)))])
    rng.shuffle(rows)
    for at in rng.sample(range(len(rows)), BLANK_COUNTS):
        rows[at][2] = ""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("barcode", "name", "counts"))
    writer.writerows(rows)
    return out.getvalue()


def controls_fasta() -> str:
    """Make the controls, their published values in the headers."""
    lines = []
    for name, rfp, sequence in CONTROLS:
        told = "consensus" if rfp is None else f"RFP={rfp}"
        lines += [f">{name} {told} Anderson promoter", sequence]
    return "\n".join([*lines, ""])


def build(seed: int = SEED) -> dict[str, bytes]:
    """Make the content of each file, by file name."""
    return {
        "messy.xlsx": messy_xlsx(seed),
        "barcodes.csv": barcodes_csv(seed).encode(),
        "controls.fasta": controls_fasta().encode(),
    }


def main() -> None:
    """Write the files beside this script."""
    for name, content in build().items():
        (HERE / name).write_bytes(content)
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
