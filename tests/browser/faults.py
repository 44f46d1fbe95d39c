"""What a kernel does in the middle of a write when a test wants to see it: hold still, or die."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from usr_nb.contract.progress import Progress
from usr_nb.storage import slots
from usr_nb.sync import deliver
from usr_nb.widgets.jobs import Job

_TELL = Job._tell
_FINISH = slots._finish
_PUBLISH = slots.Stage.publish
_INSTALL = deliver._install


def die() -> None:
    """End this process as ``kill -9`` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(fault: str, env: dict[str, str] | None = None) -> None:
    """Set a fault of this process, and its environment.

    ``hold``: once it writes, wait to be cancelled; ``kill before``: die with all staged, right
    before the commit point; ``kill registered``: die between the registry and what needed it;
    ``kill after``: die right after the commit, before anything is installed or told. Of a push the
    commit point lies at the remote. The process id goes into the file ``USR_TEST_PID``.
    """
    os.environ.update(env or {})
    if "USR_TEST_PID" in os.environ:
        Path(os.environ["USR_TEST_PID"]).write_text(str(os.getpid()), "utf-8")

    def tell(job: Job, progress: Progress) -> None:
        _TELL(job, progress)
        if fault == "hold" and (progress.stage == "writing" or progress.unit == "bytes"):
            job._stop.wait(30)

    def publish(stage: slots.Stage) -> bool:
        if fault == "kill before" and stage.intent.action != "register":
            die()
        return _PUBLISH(stage)

    def finish(stage: slots.Stage) -> None:
        if fault == "kill after" and stage.intent.action != "register":
            die()
        _FINISH(stage)
        if fault == "kill registered":
            die()

    def install(*args: Any) -> None:
        if fault == "kill before":
            die()
        _INSTALL(*args)
        if fault == "kill after":
            die()

    Job._tell = tell  # type: ignore[method-assign]
    slots.Stage.publish = publish  # type: ignore[method-assign]
    slots._finish = finish
    deliver._install = install
