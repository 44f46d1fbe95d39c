"""What a competent user would write by hand in DuckDB, over the same Parquet files.

Each method is one call with a connection of its own, as our operations open the dataset each
time. Nothing here takes a lock, logs, syncs to the disk or looks at a registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tests.benchmarks.data import PARTS, SOURCE, Files, Inputs

#: The same level as ours: it is faster than the default and hardly larger.
PARQUET = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
ESSENTIALS = "id, bio_type, sequence, alphabet, length, source, created_at"
#: Whether a cell holds other letters: stripping is twice as fast as a regular expression.
BAD = "ltrim(sequence, 'ACGTacgt') <> ''"


def paths(files: Sequence[Path]) -> str:
    """Return a list literal."""
    return "[" + ", ".join(f"'{f}'" for f in files) + "]"


def new_rows(source: Path) -> str:
    """Return the query that makes essential columns from sequences."""
    return f"""SELECT sha1('dna|' || s) AS id, 'dna' AS bio_type, s AS sequence,
        'dna_4' AS alphabet, length(s)::INTEGER AS length, '{SOURCE}' AS source,
        now()::TIMESTAMPTZ AS created_at
        FROM (SELECT trim(sequence) AS s FROM read_parquet('{source}'))"""


def latest(files: Files) -> str:
    """Return the query for overlay ``p``: the newest part that has an id wins.

    One aggregate over a struct beats two, a window and DISTINCT ON.
    """
    return f"""(SELECT id, s.p__score, s.p__label FROM (
        SELECT id, max_by(struct_pack(p__score, p__label), filename) AS s
        FROM read_parquet({paths(files.p)}, filename = true) GROUP BY id))"""


def merged(files: Files) -> str:
    """Return the query for base and overlays together, in any order."""
    return f"""SELECT * FROM '{files.base}' b
        LEFT JOIN read_parquet({paths(files.m)}) m USING (id)
        LEFT JOIN {latest(files)} p USING (id)"""


def in_order(files: Files, limit: str = "") -> str:
    """Return the query for base and overlays in base order, which joins do not keep (REC-5)."""
    return f"""SELECT b.* EXCLUDE file_row_number, m.* EXCLUDE id, p.* EXCLUDE id
        FROM (FROM read_parquet('{files.base}', file_row_number = true) {limit}) b
        LEFT JOIN read_parquet({paths(files.m)}) m USING (id)
        LEFT JOIN {latest(files)} p USING (id) ORDER BY b.file_row_number"""


class DuckDB:
    """The operations; `scratch` is where results are written."""

    name = "DuckDB"

    def __init__(self, inputs: Inputs, scratch: Path) -> None:
        self.inputs = inputs
        self.out = scratch

    def import_rows(self, files: Files, rep: int) -> Path:
        con = duckdb.connect()
        con.execute(f"CREATE TEMP TABLE rows AS {new_rows(self.inputs.sequences)}")
        self._check(con, "rows")
        return self._write(con, "rows", "base")

    def append(self, files: Files, rep: int) -> Path:
        con = duckdb.connect()
        con.execute(f"CREATE TEMP TABLE rows AS {new_rows(self.inputs.more)}")
        self._check(con, "rows")
        there = f"SELECT count(*) FROM rows WHERE id IN (SELECT id FROM '{files.base}')"
        if con.execute(there).fetchone() != (0,):
            raise ValueError("ids are there already")
        return self._write(
            con, f"(SELECT {ESSENTIALS} FROM '{files.base}' UNION ALL FROM rows)", "base"
        )

    def _check(self, con: duckdb.DuckDBPyConnection, rows: str) -> None:
        found = con.execute(
            f"""SELECT count(*) FILTER (sequence IS NULL OR sequence = ''),
            count(*) FILTER ({BAD}), count(*) - count(DISTINCT id) FROM {rows}"""
        ).fetchone()
        if found != (0, 0, 0):
            raise ValueError(f"missing, bad, repeated: {found}")

    def _write(self, con: duckdb.DuckDBPyConnection, rows: str, name: str) -> Path:
        path = self.out / f"{name}.parquet"
        con.execute(f"COPY (FROM {rows}) TO '{path}' {PARQUET}")
        return path

    def _check_keys(self, con: duckdb.DuckDBPyConnection, files: Files, rows: str) -> None:
        found = con.execute(
            f"""SELECT count(*) - count(DISTINCT id), count(*) FILTER (id IS NULL),
            (SELECT count(*) FROM (SELECT id FROM {rows}) k ANTI JOIN '{files.base}' USING (id))
            FROM {rows}"""
        ).fetchone()
        if found != (0, 0, 0):
            raise ValueError(f"repeated, missing, unknown keys: {found}")

    def attach(self, files: Files, rep: int) -> Path:
        con = duckdb.connect()
        self._check_keys(con, files, f"'{self.inputs.m}'")
        named = f"(SELECT id, x AS m__x, vec AS m__vec FROM '{self.inputs.m}')"
        return self._write(con, named, "m")

    def parts(self, files: Files, rep: int, tables: Sequence[pa.Table]) -> list[Path]:
        written = []
        for number in range(PARTS):
            con = duckdb.connect()
            con.register("part", tables[number])
            self._check_keys(con, files, "part")
            named = "(SELECT id, score AS p__score, label AS p__label FROM part)"
            written.append(self._write(con, named, f"p-{number:02d}"))
        return written

    def head(self, files: Files, rep: int) -> pa.Table:
        return duckdb.connect().sql(in_order(files, "LIMIT 5")).to_arrow_table()

    def get(self, files: Files, rep: int) -> pa.Table:
        wanted = self.inputs.wanted[rep]
        # Pushed down by hand: the merged query reads all of every file for one row.
        p = f"""(SELECT id, p__score, p__label
            FROM read_parquet({paths(files.p)}, filename = true)
            WHERE id = $1 ORDER BY filename DESC LIMIT 1)"""
        query = f"""SELECT * FROM (FROM '{files.base}' WHERE id = $1) b
            LEFT JOIN (FROM read_parquet({paths(files.m)}) WHERE id = $1) m USING (id)
            LEFT JOIN {p} p USING (id)"""
        return duckdb.connect().sql(query, params=[wanted]).to_arrow_table()

    def scan(self, files: Files, rep: int) -> pa.RecordBatchReader:
        return duckdb.connect().sql(merged(files)).to_arrow_reader()

    def scan_two(self, files: Files, rep: int) -> pa.RecordBatchReader:
        return duckdb.connect().sql(
            f"""SELECT b.sequence, m.m__x FROM '{files.base}' b
            LEFT JOIN read_parquet({paths(files.m)}) m USING (id)"""
        ).to_arrow_reader()  # fmt: skip

    def _grep(self, files: Files, pattern: str) -> tuple[int, list[str]]:
        hits = duckdb.connect().sql(
            f"SELECT id FROM '{files.base}' WHERE regexp_matches(sequence, $1, 'i')",
            params=[pattern],
        ).to_arrow_table()  # fmt: skip
        return hits.num_rows, hits.column(0).slice(0, 20).to_pylist()

    def grep(self, files: Files, rep: int) -> tuple[int, list[str]]:
        return self._grep(files, "TATAAT")

    def grep_iupac(self, files: Files, rep: int) -> tuple[int, list[str]]:
        # TGNTATAAT and its reverse complement.
        return self._grep(files, "TG[ACGT]TATAAT|ATTATA[ACGT]CA")

    def describe(self, files: Files, rep: int) -> dict[str, list[Any]]:
        texts = ["id", "bio_type", "sequence", "alphabet", "source", "p__label"]
        numbers = ["length", "m__x", "p__score"]
        asked = [f"count({c}), count(DISTINCT {c})" for c in texts]
        asked += [f"count({c}), min({c}), avg({c}), max({c})" for c in numbers]
        asked += ["count(created_at), min(created_at)::VARCHAR, max(created_at)::VARCHAR"]
        asked += ["count(m__vec), min(len(m__vec)), avg(len(m__vec)), max(len(m__vec))"]
        row = duckdb.connect().execute(f"SELECT {', '.join(asked)} FROM ({merged(files)})")
        cells = iter(row.fetchone() or ())
        out = {c: [next(cells), next(cells)] for c in texts}
        out |= {c: [next(cells) for _ in range(4)] for c in numbers}
        out["created_at"] = [next(cells) for _ in range(3)]
        out["m__vec"] = [next(cells) for _ in range(4)]
        return out

    def validate(self, files: Files, rep: int) -> int:
        con = duckdb.connect()
        found = con.execute(
            f"""SELECT count(*) FILTER (id <> sha1(bio_type || '|' || sequence)),
            count(*) FILTER (length <> length(sequence)), count(*) FILTER ({BAD}),
            count(*) FILTER (id IS NULL OR sequence IS NULL OR bio_type <> 'dna'
              OR alphabet <> 'dna_4' OR source IS NULL OR created_at IS NULL),
            count(*) - count(DISTINCT id) FROM '{files.base}'"""
        ).fetchone() or (1,)
        overlays = con.execute(
            f"""SELECT count(*) - count(DISTINCT (filename, id)),
            (SELECT count(*) FROM (SELECT DISTINCT id FROM read_parquet($1)) k
             ANTI JOIN '{files.base}' USING (id))
            FROM read_parquet($1, filename = true)""",
            [[str(f) for f in (*files.m, *files.p)]],
        ).fetchone() or (1,)
        return sum(found) + sum(overlays)

    def export_csv(self, files: Files, rep: int) -> Path:
        path = self.out / "out.csv"
        duckdb.connect().execute(
            f"""COPY (SELECT id, sequence, m__x FROM '{files.base}'
            LEFT JOIN read_parquet({paths(files.m)}) m USING (id)) TO '{path}' (HEADER)"""
        )
        return path

    def materialize(self, files: Files, rep: int) -> Path:
        return self._write(duckdb.connect(), f"({in_order(files)})", "base")

    def compact(self, files: Files, rep: int) -> Path:
        return self._write(duckdb.connect(), latest(files), "p")
