"""Write ``demo_library.csv.gz`` and ``demo_library_truth.json``, the SOS biosensor library.

Run ``python demo_material/make_sos.py`` from the checkout, with usr_nb installed. The same
seed gives the same designs on every machine; the sources of the numbers are cited in
``usr_nb/tools/sos/design.py``. All measurements are simulated.
"""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

from usr_nb.tools import sos

SEED = 7
ROWS = 20_000
HERE = Path(__file__).resolve().parent


def build(seed: int = SEED, rows: int = ROWS) -> dict[str, bytes]:
    """Make the content of each file, by file name."""
    library = sos.design_library(seed=seed, rows=rows)
    planted = {"seed": seed, **sos.truth(library, sos.overlays(library, seed=seed))}
    out = io.BytesIO()
    # No file name and no time in the gzip header: running the script again changes no byte.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as zipped:
        zipped.write(sos.library_csv(library).encode())
    return {
        "demo_library.csv.gz": out.getvalue(),
        "demo_library_truth.json": (json.dumps(planted, indent=1) + "\n").encode(),
    }


def main() -> None:
    """Write the files beside this script."""
    for name, content in build().items():
        (HERE / name).write_bytes(content)
        print(f"{name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
