"""The plans of a dataset: what each change would do, looked at first, applied once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from usr_nb.dataset.context import Actor
from usr_nb.dataset.face_base import Face
from usr_nb.dataset.face_maintain import names

if TYPE_CHECKING:
    from usr_nb.dataset import records
    from usr_nb.dataset.plans.attach import AttachPlan
    from usr_nb.dataset.plans.outcome import Outcome
    from usr_nb.dataset.plans.plan import Receipt
    from usr_nb.dataset.plans.records import RecordsPlan
    from usr_nb.dataset.plans.rewrites import CompactPlan, MaterializePlan
    from usr_nb.filter.kept import Where
    from usr_nb.overlay.attach import Aggregate

Key = Literal["id", "sequence", "sequence_norm", "sequence_ci"]


class PlanningFace(Face):
    """Looking first."""

    def plan_attach(
        self,
        source: Any,
        namespace: str,
        *,
        key: Key | None = None,
        key_col: str | None = None,
        columns: Sequence[str] | None = None,
        rename: Mapping[str, str] | None = None,
        allow_overwrite: bool = False,
        allow_missing: bool = False,
        parse_json: bool = True,
        match: str | None = None,
        aggregate: Aggregate | None = None,
        register: bool = False,
        types: Mapping[str, str] | None = None,
        owner: str | None = None,
        description: str | None = None,
        note: str = "",
        name: str | None = None,
        actor: Actor | None = None,
    ) -> AttachPlan:
        """Look at what :meth:`attach_file` would do; nothing is written.

        What is wrong with the input is not raised but listed in the plan's ``problems``, all of
        it; so one can show it, change an argument, and plan again.

        Parameters
        ----------
        source : path or table
            csv, tsv, jsonl, parquet or xlsx; or a table in memory, which is copied.
        namespace : str
            Column ``x`` becomes ``<namespace>__x``.
        key : {"id", "sequence", "sequence_norm", "sequence_ci"}, optional
            By default the one by which most rows match (``plan.choices`` has all rates).
        key_col, columns, allow_overwrite, allow_missing, parse_json, match, aggregate, note
            As for :meth:`attach_file`.
        rename : mapping of str to str, optional
            Other names for columns: ``{"LLR (nats)": "evo2__llr"}``.
        register : bool
            Register the columns that are missing, and the namespace if it is, at the same time.
        types : mapping of str to str, optional
            Their types, by either name; the others are proposed from the data.
        owner, description : str, optional
            Of a namespace that is new.
        name : str, optional
            What messages and the event call the source; its path by default.

        Returns
        -------
        AttachPlan

        Raises
        ------
        NamespaceError, DatasetNotFound, PathNotFound, SchemaError
            If there is nothing to look at: no registry, no dataset, no such file, no table in it.

        Examples
        --------
        >>> import tempfile
        >>> from usr_nb import Dataset, init_root
        >>> root = tempfile.mkdtemp()
        >>> _ = init_root(root)
        >>> ds = Dataset.open(root, "lab/demo")
        >>> ds.init()
        >>> rows = [{"sequence": "ACGT"}, {"sequence": "TTTT"}]
        >>> _ = ds.add_sequences(rows, bio_type="dna", alphabet="dna_4")
        >>> plan = ds.plan_attach([{"sequence": "ACGT", "n": 3}], "lab", register=True)
        >>> plan.button, plan.registers[0].type
        ('Attach 1 row', 'int64')
        >>> plan.apply().counts["rows_matched"]
        1
        """
        from usr_nb.dataset import overlays
        from usr_nb.dataset.plans.attach import AttachWish, plan_attach
        from usr_nb.readers import open_rows

        registry = self._ctx.registry()
        known = overlays.source_types(registry, namespace) if namespace in registry else None
        rows = open_rows(source, types=known)
        path = None if rows.format == "table" else rows.label
        request = overlays.attach_request(
            self.name, name or path, namespace,
            key=key or "id", key_col=key_col, columns=columns, allow_overwrite=allow_overwrite,
            allow_missing=allow_missing, parse_json=parse_json, backend="pyarrow", note=note,
            match=match, aggregate=aggregate, actor=actor, rename=rename, register=register,
        )  # fmt: skip
        choose = key is None and match is None
        wish = AttachWish(request, choose, register, dict(types or {}), owner, description)
        return plan_attach(self._ctx, rows, wish, path=path)

    def plan_materialize(
        self,
        namespaces: Sequence[str] | None = None,
        keep_overlays: bool = True,
        archive_overlays: bool = False,
        drop_deleted: bool = False,
        *,
        snapshot_before: bool = False,
        reason: str = "a plan was applied",
        actor: Actor | None = None,
    ) -> MaterializePlan:
        """Look at what :meth:`materialize` would do, cell by cell; nothing is written.

        Applying it needs no maintenance section: `reason` goes into the event.
        """
        from usr_nb.dataset import maintenance
        from usr_nb.dataset.plans.rewrites import plan_materialize

        wish = maintenance.Rewrite(
            names(namespaces), keep_overlays, archive_overlays, drop_deleted, snapshot_before
        )
        return plan_materialize(self._ctx, wish, reason=reason, actor=actor)

    def plan_compact(
        self,
        namespace: str,
        *,
        single_file: bool = False,
        reason: str = "a plan was applied",
        actor: Actor | None = None,
    ) -> CompactPlan:
        """Look at what :meth:`compact_overlay` would do; nothing is written."""
        from usr_nb.dataset.plans.rewrites import plan_compact

        return plan_compact(
            self._ctx, namespace, single_file=single_file, reason=reason, actor=actor
        )

    def plan_tombstone(
        self,
        ids: str | Iterable[str] | None = None,
        reason: str | None = None,
        *,
        where: Where | None = None,
        allow_missing: bool = False,
        actor: Actor | None = None,
    ) -> RecordsPlan:
        """Look at what :meth:`tombstone` would do to some ids, or to all that a filter keeps."""
        from usr_nb.dataset import records

        asked, more = self._asked(ids, where, "tombstone")
        marking = records.tombstoning(
            self.name, asked, reason=reason, allow_missing=allow_missing, **more
        )
        return self._plan(marking, ids, where, "Delete {n}", allow_missing, actor)

    def plan_restore(
        self,
        ids: str | Iterable[str] | None = None,
        *,
        where: Where | None = None,
        allow_missing: bool = False,
        actor: Actor | None = None,
    ) -> RecordsPlan:
        """Look at what :meth:`restore` would do to some ids, or to the hidden a filter keeps."""
        from usr_nb.dataset import records

        asked, more = self._asked(ids, where, "restore")
        marking = records.restoring(self.name, asked, allow_missing=allow_missing, **more)
        return self._plan(marking, ids, where, "Restore {n}", allow_missing, actor)

    def plan_state(
        self,
        ids: str | Iterable[str] | None = None,
        *,
        where: Where | None = None,
        masked: bool | None = None,
        qc_status: Literal["pass", "fail", "warn", "unknown"] | None = None,
        split: Literal["train", "val", "test", "holdout"] | None = None,
        supersedes: str | None = None,
        lineage: Sequence[str] | None = None,
        clear: bool = False,
        reason: str | None = None,
        allow_missing: bool = False,
        actor: Actor | None = None,
    ) -> RecordsPlan:
        """Look at what :meth:`set_state`, or with `clear` :meth:`clear_state`, would do.

        Parameters
        ----------
        ids : str or iterable of str, optional
            Ids or unique prefixes; or
        where : Filter or str, optional
            all records that a filter keeps.
        masked, qc_status, split, supersedes, lineage
            The fields to set; others stay as they are.
        reason : str, optional
            Why; it goes into the event.
        """
        from usr_nb.dataset import records

        values = {"masked": masked, "qc_status": qc_status, "split": split,
                  "supersedes": supersedes, "lineage": lineage}  # fmt: skip
        asked, more = self._asked(ids, where, "state")
        more |= {"reason": reason} if reason else {}
        more["allow_missing"] = allow_missing
        if clear:
            marking = records.state_clearing(self.name, asked, **more)
            return self._plan(marking, ids, where, "Clear the state of {n}", allow_missing, actor)
        marking = records.state_setting(self.name, asked, values, **more)
        said = ", ".join(f"{k} {_said(v)}" for k, v in values.items() if v is not None)
        verb = f"Set {said} for {{n}}"
        return self._plan(marking, ids, where, verb, allow_missing, actor)

    def plan_states(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        reason: str | None = None,
        undoes: str | None = None,
        actor: Actor | None = None,
    ) -> RecordsPlan:
        """Look at what setting each record's own state would do, in one commit and one event.

        Parameters
        ----------
        rows : iterable of mapping
            ``{"id": ..., "qc_status": "pass", "masked": None}``: full ids; None unsets a field.
        reason : str, optional
            Why; it goes into the event.
        undoes : str, optional
            The operations that this takes back; it goes into the event.
        """
        from usr_nb.dataset import records
        from usr_nb.dataset.plans.records import plan_records, states_of

        states = states_of(rows)
        more = {k: v for k, v in (("reason", reason), ("undoes", undoes)) if v}
        marking = records.state_by_record(states, **more)
        return plan_records(self._ctx, marking, list(states), None,
                            verb="Set the state of {n}", actor=actor)  # fmt: skip

    def plan_undo(self, receipt: Receipt, *, actor: Actor | None = None) -> RecordsPlan:
        """Plan to take back a tombstone, restore or state: a new event that names the old one.

        Raises
        ------
        StalePlanError
            If somebody has changed the state of these records since.
        ValidationError
            If the receipt is of something else, or it changed nothing.
        """
        from usr_nb.dataset.plans.records import plan_undo

        return plan_undo(self._ctx, receipt, actor=actor)

    def outcome(self, token: str, *, remote: str | None = None) -> Outcome:
        """Say whether the plan of that token is in, also after its process was killed.

        Looks at the event log, and at a commit that nobody has told of yet. The event of a push
        stands at its remote: of one that was begun and is not known to have ended the answer is
        None, until the remote is asked. Nothing is written.

        Parameters
        ----------
        token : str
            Of the plan.
        remote : str, optional
            Ask this remote too, over the network, if this copy cannot tell.

        Raises
        ------
        RemoteUnavailableError, RemoteConfigError, LockTimeout
            If the remote cannot say.

        Examples
        --------
        >>> import tempfile
        >>> from usr_nb import Dataset, init_root
        >>> root = tempfile.mkdtemp()
        >>> _ = init_root(root)
        >>> ds = Dataset.open(root, "demo")
        >>> ds.init()
        >>> _ = ds.add_sequences(["ACGT"], bio_type="dna", alphabet="dna_4")
        >>> plan = ds.plan_state(where="gc > 0", qc_status="pass")
        >>> before = ds.outcome(plan.token).is_in
        >>> _ = plan.apply()
        >>> before, ds.outcome(plan.token).is_in
        (False, True)
        """
        from usr_nb.dataset.plans.outcome import outcome

        return outcome(self._ctx, token, remote)

    def _asked(
        self, ids: str | Iterable[str] | None, where: Where | None, action: str
    ) -> tuple[list[str], dict[str, Any]]:
        from usr_nb.dataset import records
        from usr_nb.dataset.plans.records import ids_where, one_of

        listed = None if ids is None else records.listed(ids)
        chosen = one_of(listed, where)
        if chosen is not None:
            return ids_where(self._ctx, chosen, action), {"where": chosen.as_line()}
        return listed or [], {}

    def _plan(
        self,
        marking: records.Marking,
        ids: str | Iterable[str] | None,
        where: Where | None,
        verb: str,
        allow_missing: bool,
        actor: Actor | None,
    ) -> RecordsPlan:
        from usr_nb.dataset import records
        from usr_nb.dataset.plans.records import plan_records
        from usr_nb.filter.kept import as_filter

        given = None if ids is None else records.listed(ids)
        return plan_records(self._ctx, marking, given, as_filter(where), verb=verb,
                            allow_missing=allow_missing, actor=actor)  # fmt: skip


def _said(value: Any) -> str:
    # Braces would be taken for places to fill in.
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text[:40].replace("{", "(").replace("}", ")")
