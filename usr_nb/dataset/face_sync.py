"""The verb of a dataset that meets its copy on another machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from usr_nb.dataset.face_base import Face

if TYPE_CHECKING:
    from usr_nb.dataset.plans.sync import DirectionPlan
    from usr_nb.sync.api import SyncPlan
    from usr_nb.sync.model import Direction, Prefer, VerifyMode


class SyncFace(Face):
    """Two copies of a dataset."""

    def sync_plan(
        self,
        remote: str,
        *,
        verify: VerifyMode = "auto",
        prefer: Prefer | None = None,
        delete: bool = False,
        primary_only: bool = False,
        skip_snapshots: bool = False,
    ) -> SyncPlan:
        """Look at this dataset and its copy at a remote, and plan a pull and a push.

        Nothing is written on either side until the plan is applied. The dataset need not exist
        here: a pull brings it.

        Parameters
        ----------
        remote : str
            A name in the file that ``USR_REMOTES_PATH`` names.
        verify : {"auto", "hash", "size", "parquet"}
            How files are compared: by SHA-256; ``auto`` falls back to sizes where the remote
            cannot hash, and to rows and columns of the base if it has pyarrow, with a note;
            ``parquet`` compares these too, and is an error where the remote has no pyarrow.
        prefer : {"local", "remote"}, optional
            Whose version counts where both changed what cannot be united; the other is kept
            under another name.
        delete : bool
            Also take away at the receiver what the sender does not have; it is put aside.
        primary_only : bool
            Only ``records.parquet``.
        skip_snapshots : bool
            Leave snapshots and archived overlay files where they are.

        Returns
        -------
        SyncPlan
            ``plan.summary()`` says it to people; ``plan.as_plain()`` (both directions, by class
            of file, conflicts with their choices) and ``plan.diff()`` (what ``usr diff --format
            json`` prints) to programs; ``plan.apply("pull", progress=callback)`` does it.

        Raises
        ------
        RemoteConfigError
            The remote is not defined, or not as it must be.
        RemoteUnavailableError
            It cannot be reached: never taken for "there is nothing".
        DatasetNotFound
            Neither side has the dataset.
        VerificationError
            Files cannot be compared as asked.

        Examples
        --------
        >>> import os, tempfile
        >>> from usr_nb import Dataset, RemoteConfigError
        >>> os.environ["USR_REMOTES_PATH"] = tempfile.mkdtemp() + "/remotes.yaml"
        >>> try:
        ...     Dataset.open(tempfile.mkdtemp(), "lab/demo").sync_plan("cluster")
        ... except RemoteConfigError as error:
        ...     print(error.hint)
        None is defined yet. Add one with `usr remotes add`.
        """
        from usr_nb.sync.api import sync_plan
        from usr_nb.sync.look import Here, Options

        options = Options(verify, prefer, delete, primary_only, skip_snapshots)
        here = Here(self._ctx.root, self._ctx.name, self._ctx.layout.dir)
        return sync_plan(here, remote, options)

    def plan_pull(self, remote: str, *, prefer: Prefer | None = None) -> DirectionPlan:
        """Look at what a pull would do here, as a plan like any other; see :meth:`sync_plan`.

        Conflicts are its problems: plan again with `prefer` to choose; the loser is kept.
        """
        return self._direction("pull", remote, prefer)

    def plan_push(self, remote: str, *, prefer: Prefer | None = None) -> DirectionPlan:
        """Look at what a push would do there, as a plan like any other; see :meth:`sync_plan`."""
        return self._direction("push", remote, prefer)

    def _direction(self, direction: Direction, remote: str, prefer: Prefer | None) -> DirectionPlan:
        from usr_nb.dataset.plans.sync import direction_plan

        return direction_plan(self.sync_plan(remote, prefer=prefer), direction)
