"""The verbs of a dataset that find and pick records, and what was saved of that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from usr_nb.dataset.face_base import Face

if TYPE_CHECKING:
    from usr_nb.dataset.filters import NamedFilter
    from usr_nb.filter.build import Term
    from usr_nb.filter.distance import Metric
    from usr_nb.filter.feature import Feature
    from usr_nb.filter.hits import MotifHits
    from usr_nb.filter.kept import Where
    from usr_nb.filter.motif import Strand
    from usr_nb.filter.order import By
    from usr_nb.filter.selection import Selection
    from usr_nb.filter.tree import Filter


class SelectingFace(Face):
    """Motifs, picks, saved filters and saved selections; nothing is written."""

    def filters(self) -> dict[str, NamedFilter]:
        """Return the filters saved with the dataset, by name A-Z."""
        from usr_nb.dataset import filters

        return filters.filters(self._ctx)

    def filter(self, name: str) -> Filter:
        """Return a filter that was saved with the dataset (:meth:`save_filter`)."""
        from usr_nb.dataset import filters

        return filters.named_filter(self._ctx, name)

    def find_motif(
        self,
        motif: str,
        *,
        strand: Strand = "both",
        mismatches: int = 0,
        start: tuple[int, int] | None = None,
        circular: bool = False,
        where: Where | None = None,
        limit: int | None = None,
    ) -> MotifHits:
        """Find every place of a motif, as rows. Nothing is written.

        Parameters
        ----------
        motif : str
            IUPAC letters with counts, as ``TTGACA N{16,18} TATAAT``; case is ignored.
        strand : {"both", "+", "-"}
            A place that fits on both strands counts once.
        mismatches : int
            At most so many letters may not fit, 0 to 3.
        start : (int, int), optional
            Only hits whose leftmost letter lies in ``[a, b)``, 0-based.
        circular : bool
            Hits may run over the end.
        where : Filter or str, optional
            Which records to search.
        limit : int, optional
            List at most so many hits; all are counted.

        Returns
        -------
        MotifHits
            ``table`` (id, start, end, strand, mismatches, text; 0-based, half-open), counts, and
            ``per_record()``, the same as an overlay.

        Raises
        ------
        ValidationError
            If the motif or an argument is malformed.
        """
        from usr_nb.filter.hits import find_motif
        from usr_nb.filter.kept import as_filter

        with self._ctx.merged() as merged:
            return find_motif(
                merged, motif, strand=strand, mismatches=mismatches, start=start,
                circular=circular, where=as_filter(where), limit=limit,
            )  # fmt: skip

    def selections(self) -> dict[str, Selection]:
        """Return the selections saved with the dataset, by name A-Z."""
        from usr_nb.dataset import selections

        return selections.selections(self._ctx)

    def selection(self, name: str) -> Selection:
        """Return a selection that was saved with the dataset (:meth:`save_selection`)."""
        from usr_nb.dataset import selections

        return selections.selection(self._ctx, name)

    def pick(
        self,
        *,
        where: Where | None = None,
        order_by: By | Sequence[By] = (),
        top: int | None = None,
        per: Term | Feature | str | None = None,
        metric: Metric | None = None,
        min_distance: int | None = None,
        always: Sequence[str] = (),
    ) -> Selection:
        """Pick records: filtered, sorted, the best of each group, far apart. Nothing is written.

        Parameters
        ----------
        where : Filter or str, optional
            Which records come into question.
        order_by : feature, key, text, or a sequence of them
            Best first, as ``F["evo2__llr"].desc()`` or ``"evo2__llr desc, length"``.
        top, per
            At most so many, of each group of the feature `per`.
        metric, min_distance
            With both, no two picked sequences are closer (``hamming`` or ``edit``, in letters).
        always : sequence of str
            Ids, or unique prefixes of 7 or more letters, that are picked in any case, first.

        Returns
        -------
        Selection
            Ids in order, beside the filter, the rule and a fingerprint of the dataset.

        Raises
        ------
        ValidationError, SchemaError, RecordNotFound
            If an argument is wrong, or a column or an id of `always` is not there.
        """
        from usr_nb.dataset.ids import find
        from usr_nb.filter.kept import as_filter
        from usr_nb.filter.selection import pick

        with self._ctx.merged() as merged:
            given = always and not isinstance(always, str)
            fixed = find(merged, always, allow_missing=None).ids if given else always
            return pick(
                merged, where=as_filter(where), order_by=order_by, top=top, per=per,
                metric=metric, min_distance=min_distance, always=fixed,
            )  # fmt: skip
