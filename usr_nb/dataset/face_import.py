"""The verbs of a dataset that create it and import rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from usr_nb.dataset.context import Actor
from usr_nb.dataset.face_base import Face

if TYPE_CHECKING:
    from usr_nb.dataset.incoming import OnConflict
    from usr_nb.dataset.ingest import AddSequencesResult, ImportRequest
    from usr_nb.dataset.report import ImportReport
    from usr_nb.readers import Rows

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
        from usr_nb.dataset import ingest

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
        on_conflict: OnConflict = "error",
        strip_stop: bool = False,
        keep: str | None = None,
        keep_values: bool = False,
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
        keep : str, optional
            Store all other columns as an overlay of this namespace, registering what it lacks.
        keep_values : bool
            Let rows that were once removed for good get their old overlay values back.

        Raises
        ------
        ValidationError, AlphabetError, SchemaError, DuplicateIDError
            With 1-based row numbers. Nothing was imported.
        """
        from usr_nb.dataset.ingest import ImportRequest
        from usr_nb.readers import open_rows

        opened = open_rows(rows)
        request = ImportRequest(
            default_bio_type=default_bio_type, default_alphabet=default_alphabet, source=source,
            args={"rows": "<table>"}, command=["--from", opened.format, "--path", opened.label],
            strict_id_check=strict_id_check, strip_stop=strip_stop, on_conflict=on_conflict,
            keep=keep, keep_values=keep_values, actor=actor,
        )  # fmt: skip
        return self._import(opened, request).added

    def add_sequences(
        self,
        rows: Any,
        *,
        bio_type: str,
        alphabet: str,
        source: str = "",
        created_at: datetime | str | None = None,
        on_conflict: OnConflict = "error",
        actor: Actor | None = None,
    ) -> AddSequencesResult:
        """Append rows like :meth:`import_rows` and say which ids they have."""
        from usr_nb.dataset.ingest import ImportRequest
        from usr_nb.readers import open_rows

        opened = open_rows(rows)
        request = ImportRequest(
            default_bio_type=bio_type, default_alphabet=alphabet, source=source,
            args={"rows": "<table>"}, command=["--from", opened.format, "--path", opened.label],
            created_at=created_at, on_conflict=on_conflict, want_ids=True, actor=actor,
        )  # fmt: skip
        return self._import(opened, request)

    def import_file(
        self,
        path: PathLike,
        *,
        fmt: str | None = None,
        default_bio_type: str = "dna",
        default_alphabet: str = "dna_4",
        source: str | None = None,
        on_conflict: OnConflict = "error",
        strip_stop: bool = False,
        keep: str | None = None,
        keep_values: bool = False,
        rename: Mapping[str, str] | None = None,
        actor: Actor | None = None,
    ) -> AddSequencesResult:
        """Import a csv, tsv, jsonl, parquet, xlsx or FASTA file.

        `fmt` is guessed from the suffix if it is not given, `rename` gives columns other names
        (``{"Sequence (5'->3')": "sequence"}``). ``source`` of a row is the argument,
        else the row's, else the path as given. The result names the columns that were ignored
        (``ids`` is empty); the other options are those of :meth:`import_rows`.
        """
        from usr_nb.dataset.ingest import ImportRequest
        from usr_nb.dataset.values import rename_words
        from usr_nb.readers import open_rows, renamed

        opened = renamed(open_rows(path, fmt=fmt), rename or {})
        request = ImportRequest(
            default_bio_type=default_bio_type, default_alphabet=default_alphabet, source=source,
            args={"path": str(path), "format": opened.format,
                  **({"rename": dict(rename)} if rename else {})},
            command=["--from", opened.format, "--path", str(path), *rename_words(rename)],
            strip_stop=strip_stop, on_conflict=on_conflict, keep=keep, keep_values=keep_values,
            actor=actor,
        )  # fmt: skip
        return self._import(opened, request)

    def import_report(
        self,
        source: Any,
        *,
        fmt: str | None = None,
        default_bio_type: str = "dna",
        default_alphabet: str = "dna_4",
        on_conflict: OnConflict = "error",
        strip_stop: bool = False,
        keep: str | None = None,
        rename: Mapping[str, str] | None = None,
    ) -> ImportReport:
        """Say what an import would do, and what is in the sequences; writes nothing (IMP-1)."""
        from usr_nb.dataset.ingest import ImportRequest
        from usr_nb.dataset.report import import_report
        from usr_nb.readers import open_rows, renamed

        opened = renamed(open_rows(source, fmt=fmt), rename or {})
        request = ImportRequest(
            default_bio_type=default_bio_type, default_alphabet=default_alphabet, source=None,
            args={}, command=(), strip_stop=strip_stop, on_conflict=on_conflict, keep=keep,
        )  # fmt: skip
        return import_report(self._ctx, opened, request)

    def import_csv(
        self,
        path: PathLike,
        default_bio_type: str = "dna",
        default_alphabet: str = "dna_4",
        source: str | None = None,
        **options: Any,
    ) -> int:
        """Import a CSV file and return the rows imported; see :meth:`import_file`."""
        return self.import_file(
            path, fmt="csv", default_bio_type=default_bio_type,
            default_alphabet=default_alphabet, source=source, **options,
        ).added  # fmt: skip

    def import_jsonl(
        self,
        path: PathLike,
        default_bio_type: str = "dna",
        default_alphabet: str = "dna_4",
        source: str | None = None,
        **options: Any,
    ) -> int:
        """Import a JSON-lines file and return the rows imported; see :meth:`import_file`."""
        return self.import_file(
            path, fmt="jsonl", default_bio_type=default_bio_type,
            default_alphabet=default_alphabet, source=source, **options,
        ).added  # fmt: skip

    def import_parquet(
        self,
        path: PathLike,
        default_bio_type: str = "dna",
        default_alphabet: str = "dna_4",
        source: str | None = None,
        **options: Any,
    ) -> int:
        """Import a Parquet file and return the rows imported; see :meth:`import_file`."""
        return self.import_file(
            path, fmt="parquet", default_bio_type=default_bio_type,
            default_alphabet=default_alphabet, source=source, **options,
        ).added  # fmt: skip

    def import_fasta(
        self,
        path: PathLike,
        default_bio_type: str = "dna",
        default_alphabet: str = "dna_4",
        source: str | None = None,
        **options: Any,
    ) -> int:
        """Import a FASTA file and return the rows imported; see :meth:`import_file`."""
        return self.import_file(
            path, fmt="fasta", default_bio_type=default_bio_type,
            default_alphabet=default_alphabet, source=source, **options,
        ).added  # fmt: skip

    def _import(self, opened: Rows, request: ImportRequest) -> AddSequencesResult:
        from usr_nb.dataset import ingest

        options: dict[str, Any] = {
            "bio_type": request.default_bio_type,
            "alphabet": request.default_alphabet,
            "source": request.source or "",
            "on_conflict": request.on_conflict,
        }
        command = ["usr", "import", self.name, *request.command]
        command += ["--bio-type", request.default_bio_type, "--alphabet", request.default_alphabet]
        command += ["--source", request.source] if request.source else []
        if request.on_conflict != "error":
            command += ["--on-conflict", request.on_conflict]
        for flag, on in (("strip_stop", request.strip_stop), ("keep_values", request.keep_values)):
            if on:
                command.append(f"--{flag.replace('_', '-')}")
                options[flag] = True
        if request.keep is not None:
            command += ["--keep", request.keep]
            options["keep"] = request.keep
        whole = replace(request, args={**request.args, **options}, command=command)
        return ingest.import_rows(self._ctx, opened, whole)
