"""Write the four small files of the quickstart; run ``python demo_material/make_small.py``.

Seeded and free of dependencies, so that the committed files can be made again anywhere.
All numbers are made up.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

SEED = 7
SEQUENCES = 36
LENGTH = 60
MINUS35_START = 18
SPACER = 17
LABELLED = 24
UNKNOWN = 2
VEC8 = ("v00", "v10", "v01", "v11", "y00_star", "y10_star", "y01_star", "y11_star")
HERE = Path(__file__).resolve().parent


def _letters(rng: random.Random, length: int) -> str:
    return "".join("ACGT"[int(rng.random() * 4)] for _ in range(length))


def _uniform(rng: random.Random, low: float, high: float) -> float:
    return round(low + (high - low) * rng.random(), 4)


def _promoters(rng: random.Random) -> list[str]:
    """Draw promoters of 60 nt, all different even when case is ignored.

    Of six, three are upper case, two have lower-case flanks and one is lower case. The two
    after the last are the ones that the dataset will not hold.
    """
    found: list[str] = []
    while len(found) < SEQUENCES + UNKNOWN:
        minus35 = ("TTGACA", "TTTACA", "TTGTCA", "TTGATA")[int(rng.random() * 4)]
        minus10 = ("TATAAT", "TATGTT", "TACAGT", "TATTAT")[int(rng.random() * 4)]
        core = minus35 + _letters(rng, SPACER) + minus10
        before = _letters(rng, MINUS35_START)
        after = _letters(rng, LENGTH - MINUS35_START - len(core))
        kind = len(found) % 6
        if kind in {1, 4}:
            before, after = before.lower(), after.lower()
        sequence = before + core + after
        if kind == 5:
            sequence = sequence.lower()
        if sequence.upper() not in {one.upper() for one in found}:
            found.append(sequence)
    return found


def _csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def _vector(rng: random.Random) -> str:
    return str([_uniform(rng, -1.0, 1.0) for _ in range(8)])


def build(seed: int = SEED) -> dict[str, str]:
    """Make the text of each file, by file name."""
    rng = random.Random(seed)
    promoters = _promoters(rng)
    known, unknown = promoters[:SEQUENCES], promoters[SEQUENCES:]
    labelled = [one for at, one in enumerate(known) if at % 3 != 2][:LABELLED] + unknown
    return {
        "demo_sequences.csv": _csv(
            ("sequence", "name", "design_round"),
            [(one, f"promoter_{at:02d}", 1 + at // 19) for at, one in enumerate(known, start=1)],
        ),
        "demo_attachment_one.csv": _csv(
            ("sequence", "X_value"), [(one, _vector(rng)) for one in known]
        ),
        "demo_attachment_two.csv": _csv(
            ("sequence", "tag", "X_value"),
            [(one, tag, _vector(rng)) for one in known[:12] for tag in ("mean", "last")],
        ),
        "demo_y_sfxi.csv": _csv(
            ("sequence", *VEC8, "intensity_log2_offset_delta"),
            [
                (
                    one,
                    *(_uniform(rng, 0.0, 1.0) for _ in range(4)),
                    *(_uniform(rng, -2.0, 6.0) for _ in range(4)),
                    _uniform(rng, -0.5, 0.5),
                )
                for one in labelled
            ],
        ),
    }


def main() -> None:
    """Write the files beside this script."""
    for name, text in build().items():
        (HERE / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"{name}: {len(text):,} bytes")


if __name__ == "__main__":
    main()
