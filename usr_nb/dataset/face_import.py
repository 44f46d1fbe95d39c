"""The verbs of a dataset that create it and import rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from usr_nb.dataset import ingest
from usr_nb.dataset.context import Actor
from usr_nb.dataset.face_base import Face
from usr_nb.dataset.ingest import AddSequencesResult
from usr_nb.readers import Rows, open_rows

PathLike = str | os.PathLike[str]


class ImportingFace(Face):
    """Creating the dataset and appending rows to its base."""

    def init(self, source: str = "", notes: str = "", *, actor: Actor | None = None) -> None:
        """Create the dataset: ``records.parquet``, ``meta.md``, the frozen registry, an event.

        Raises
        ------
        AlreadyExists
            If it exists.
        NamespaceError
            If the root has no registry; the hint gives the command that makes one.
        """
        ingest.init(self._ctx, source=source, notes_text=notes, actor=actor)

    def import_rows(
        self,
        rows: Any,
        default_bio_type: str = "dna",
        default_alphabet: str = "dna_4",
        source: str | None = None,
        strict_id_check: bool = True,
        actor: Actor | None = None,
        *,
        on_conflict: ingest.OnConflict = "error",
        strip_stop: bool = False,
    ) -> int:
        """Append rows to the base, all or none, and return their number (IMP).

        Parameters
        ----------
        rows : table, data frame, list of dict, list of str, or any ``__arrow_c_stream__``
            Must have ``sequence``; may have ``bio_type, alphabet, id, source, created_at``.
            Other columns are ignored.
        default_bio_type, default_alphabet : str
            For rows without those columns.
        source : str, optional
            Stored for every row; else the row's own, else "".
        strict_id_check : bool
            Whether a supplied id must equal the computed one.
        on_conflict : {"error", "ignore"}
            What to do about ids that are there already.
        strip_stop : bool
            Remove trailing ``*`` from sequences.

        Raises
        ------
        ValidationError, AlphabetError, SchemaError, DuplicateIDError
            With 1-based row numbers. Nothing was imported.
        """
        opened = open_rows(rows, columns=None)
        return self._import(
            opened, default_bio_type, default_alphabet, source,
            args={"rows": "<table>"}, command=self._table_command("import", opened),
            strict_id_check=strict_id_check, actor=actor, on_conflict=on_conflict,
            strip_stop=strip_stop,
        ).added  # fmt: skip

    def add_sequences(
        self,
        rows: Any,
        *,
        bio_type: str,
        alphabet: str,
        source: str = "",
        created_at: datetime | str | None = None,
        on_conflict: ingest.OnConflict = "error",
        actor: Actor | None = None,
    ) -> AddSequencesResult:
        """Append rows like :meth:`import_rows` and say which ids they have."""
        opened = open_rows(rows)
        return self._import(
            opened, bio_type, alphabet, source, created_at=created_at,
            args={"rows": "<table>"}, command=self._table_command("import", opened),
            on_conflict=on_conflict, actor=actor, want_ids=True,
        )  # fmt: skip

    def import_file(
        self,
        path: PathLike,
        *,
        fmt: str | None = None,
        default_bio_type: str = "dna",
        default_alphabet: str = "dna_4",
        source: str | None = None,
        on_conflict: ingest.OnConflict = "error",
        strip_stop: bool = False,
        actor: Actor | None = None,
    ) -> int:
        """Import a csv, tsv, jsonl, parquet, xlsx or FASTA file; returns the rows imported.

        `fmt` is guessed from the suffix if it is not given. ``source`` of a row is the
        argument, else the row's, else the path as given.
        """
        opened = open_rows(path, fmt=fmt)
        command = ["usr", "import", self.name, "--from", opened.format, "--path", str(path)]
        command += ["--bio-type", default_bio_type, "--alphabet", default_alphabet]
        command += ["--source", source] if source else []
        command += ["--on-conflict", on_conflict] if on_conflict != "error" else []
        command += ["--strip-stop"] if strip_stop else []
        return self._import(
            opened, default_bio_type, default_alphabet, source,
            args={"path": str(path), "format": opened.format}, command=command,
            on_conflict=on_conflict, strip_stop=strip_stop, actor=actor,
        ).added  # fmt: skip

    def import_csv(self, path: PathLike, **options: Any) -> int:
        """Import a CSV file; see :meth:`import_file`."""
        return self.import_file(path, fmt="csv", **options)

    def import_jsonl(self, path: PathLike, **options: Any) -> int:
        """Import a JSON-lines file; see :meth:`import_file`."""
        return self.import_file(path, fmt="jsonl", **options)

    def import_parquet(self, path: PathLike, **options: Any) -> int:
        """Import a Parquet file; see :meth:`import_file`."""
        return self.import_file(path, fmt="parquet", **options)

    def import_fasta(self, path: PathLike, **options: Any) -> int:
        """Import a FASTA file; see :meth:`import_file`."""
        return self.import_file(path, fmt="fasta", **options)

    def _import(
        self,
        opened: Rows,
        bio_type: str,
        alphabet: str,
        source: str | None,
        *,
        args: dict[str, Any],
        command: Sequence[str],
        **options: Any,
    ) -> AddSequencesResult:
        args |= {"bio_type": bio_type, "alphabet": alphabet, "source": source or ""}
        args["on_conflict"] = options.get("on_conflict", "error")
        return ingest.import_rows(
            self._ctx, opened, default_bio_type=bio_type, default_alphabet=alphabet,
            source=source, args=args, command=command, **options,
        )  # fmt: skip

    def _table_command(self, verb: str, opened: Rows) -> list[str]:
        return ["usr", verb, self.name, "--from", opened.format, "--path", opened.label]
