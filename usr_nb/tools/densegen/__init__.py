"""DenseGen's overlay: the binding sites that a design uses, found again and mended."""

from usr_nb.tools.densegen.repair import repair
from usr_nb.tools.densegen.report import Choice, Dedupe, RepairGroup, RepairReport, RepairRow

__all__ = ["Choice", "Dedupe", "RepairGroup", "RepairReport", "RepairRow", "repair"]
