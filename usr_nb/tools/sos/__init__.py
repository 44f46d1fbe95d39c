"""The demo's SOS biosensor library: 20,000 simulated sigma70 promoters.

Pure and seeded: ``design_library`` draws the sequences, ``overlays`` says which parts to
write over them, ``truth`` tells what was planted. Nothing here writes to disk.
"""

from usr_nb.tools.sos.library import design_library
from usr_nb.tools.sos.overlays import COLUMN_WORDS, REGISTRY, NamespaceSpec, OverlayStep, overlays
from usr_nb.tools.sos.table import LIBRARY_SCHEMA, library_csv, read_library
from usr_nb.tools.sos.truth import truth

__all__ = [
    "COLUMN_WORDS",
    "LIBRARY_SCHEMA",
    "REGISTRY",
    "NamespaceSpec",
    "OverlayStep",
    "design_library",
    "library_csv",
    "overlays",
    "read_library",
    "truth",
]
