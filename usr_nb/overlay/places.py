"""Where the cells of overlay columns lie: for each base row, the newest part that speaks for it.

The rule is that of :func:`~usr_nb.overlay.plain.merge_parts` (OVL-6), which stays as the plain way
and as what this is tested against. Here the keys of all parts are looked up once, and what comes
out is one number per base row, which a cache can keep (``docs/format.md``, *Caches*).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from usr_nb.contract.hashing import U64, are_hex, id_words, leading_bits
from usr_nb.contract.progress import tracked
from usr_nb.overlay.idindex import Finder, entries_of, finder_rows
from usr_nb.overlay.lookup import Int, KeySpace, base_column, normal_keys
from usr_nb.overlay.parts import META_UNSPOKEN, PartInfo
from usr_nb.storage import caches
from usr_nb.storage.caches import Kept, Stored, Unusable
from usr_nb.storage.parallel import in_order
from usr_nb.storage.parquet import reading, sound

if TYPE_CHECKING:
    from usr_nb.storage.view import View

#: Smaller datasets are looked up anew each time: that is as fast.
MIN_ROWS: Final = 20_000
_INT32_ROWS: Final = 2**31
Keys = Callable[[str], pa.ChunkedArray]


@dataclass(eq=False)
class Places:
    """Where the cells of some columns lie that the same parts hold.

    Attributes
    ----------
    parts : tuple of PartInfo
        Oldest first.
    starts : numpy.ndarray of int64, shape (parts + 1,)
        The first row of each part when all are set end to end, and how many rows there are.
    source : Stored or Kept
        Per base row, the row in the parts set end to end, or -1 where no part speaks.
    path, key : Path, mapping
        Where it may be kept, and what it was made from.
    is_cached, is_proven : bool
        Whether a cache says so, and whether that was compared with the files.
    """

    parts: tuple[PartInfo, ...]
    starts: Int
    source: Stored | Kept
    path: Path | None
    key: Mapping[str, Any]
    is_cached: bool
    is_proven: bool = False

    def __post_init__(self) -> None:
        self.is_proven = not self.is_cached or self.source.is_proven

    def prove(self) -> None:
        """Say that what the cache says was compared with the files."""
        self.is_proven = True
        self.source.prove()

    def forget(self) -> None:
        """Throw the cache away."""
        caches.forget(self.path, self.key)


@dataclass(frozen=True)
class _LookedUp:
    """The keys of one part, looked up: a code per row, and which base rows have each code."""

    codes: npt.NDArray[Any]
    of_row: Int | None
    size: int

    def speak(self, source: Any, mute: npt.NDArray[np.bool_] | None, start: int) -> None:
        """Let the part speak in a map; what spoke before it is older."""
        spoken = self.codes >= 0 if mute is None else (self.codes >= 0) & ~mute
        at = np.flatnonzero(spoken)
        if self.of_row is None:
            source[self.codes[at]] = start + at
            return
        wins = np.full(self.size, -1, np.int64)
        wins[self.codes[at]] = start + at
        rows = wins[self.of_row]
        source[rows >= 0] = rows[rows >= 0]


class Finding:
    """Finds places for one view, from a cache or from the files.

    Parameters
    ----------
    view : View
        The files.
    keys : callable
        Returns a whole column of the base, ``id`` or ``sequence``.
    ids : callable
        Yields the ids of the base, some at a time.
    use_caches : bool
        Whether caches may be used and written; what writes or validates says no.
    """

    def __init__(
        self, view: View, keys: Keys, ids: Callable[[], Iterable[pa.Array]], *, use_caches: bool
    ) -> None:
        self.view = view
        self.keys, self.ids = keys, ids
        self.rows = int(view.base.metadata.num_rows)
        self.use_caches = use_caches and self.rows >= MIN_ROWS
        self._base_identity: list[Any] | None = None
        self._words: U64 | None = None
        self._finder: Finder | None = None
        self._making = threading.Lock()
        self._odd = False
        self._spaces: dict[str, KeySpace] = {}

    @cached_property
    def _folder(self) -> str:
        return str(self.view.layout.dir.resolve())

    def base_identity(self) -> list[Any]:
        """Return what a cache knows the base by."""
        if self._base_identity is None:
            self._base_identity = self.view.base.identity()
        return self._base_identity

    # Ids ----------------------------------------------------------------------------------------

    def _id_key(self) -> dict[str, Any]:
        return {"what": "ids", "base": self.base_identity()}

    def id_index(self) -> Stored | Kept | None:
        """Return the id index from a cache, made if it is missing; None for odd ids."""
        if not self.use_caches:
            return None
        path, key = caches.cache_path("ids", self._folder), self._id_key()
        found = caches.find(path, key)
        if found is not None and found.size == self.rows:
            return found
        words = self.words()
        if words is None or not are_hex(words):
            return None
        return caches.keep(path, key, entries_of(words), fenced=True)

    def forget_ids(self) -> None:
        """Throw the id index away."""
        caches.forget(caches.cache_path("ids", self._folder), self._id_key())

    def words(self) -> U64 | None:
        """Return all ids of the base as numbers, or None if they are odd (a damaged base)."""
        if self._words is None and not self._odd:
            self._words = self._read_words()
            self._odd = self._words is None
        return self._words

    def _read_words(self) -> U64 | None:
        # Filled piece by piece: of many rows the ids alone are 40 bytes each.
        words = np.empty((self.rows, 5), np.uint64)
        at = 0
        for ids in self.ids():
            some = id_words(ids)
            if some is None:
                return None
            words[at : at + len(ids)] = some
            at += len(ids)
        return words

    def know(self, finder: Finder) -> None:
        """Use the ids of the base that another look into it found."""
        self._words, self._finder = finder.words, finder

    def release(self) -> None:
        """Let go of what is only needed to look up keys."""
        self._words, self._finder = None, None
        self._spaces.clear()

    # Places -------------------------------------------------------------------------------------

    def places(self, infos: Sequence[PartInfo], names: Sequence[str]) -> dict[str, Places]:
        """Return where the cells of some columns of one namespace lie.

        Parameters
        ----------
        infos : sequence of PartInfo
            The parts of the namespace, oldest first.
        names : sequence of str
            Columns; those that no part holds are left out.
        """
        shared: dict[tuple[tuple[int, ...], str], Places] = {}
        found = {}
        looked: dict[int, _LookedUp] = {}
        for name in names:
            held = tuple(i for i, p in enumerate(infos) if name in p.columns)
            if not held:
                continue
            mute = name if any(infos[i].metadata.get(META_UNSPOKEN) for i in held) else ""
            if (held, mute) not in shared:
                shared[held, mute] = self._places(infos, held, name, mute, looked)
            found[name] = shared[held, mute]
        return found

    def _places(
        self, infos: Sequence[PartInfo], held: tuple[int, ...], name: str, mute: str,
        looked: dict[int, _LookedUp],
    ) -> Places:  # fmt: skip
        parts = tuple(infos[i] for i in held)
        starts = np.cumsum([0, *(p.rows for p in parts)], dtype=np.int64)
        path, key = None, {}
        if self.use_caches and starts[-1] < _INT32_ROWS and all(p.identity for p in parts):
            alike = _first_alike(infos, held)
            path = caches.cache_path("rows", self._folder, parts[0].file.namespace, mute or alike)
            key = {
                "what": "rows", "base": self.base_identity(), "keyed": parts[0].key,
                "parts": [[p.file.path, *p.identity] for p in parts], "silent": mute,
            }  # fmt: skip
            known = caches.find(path, key)
            if known is not None and known.size == self.rows:
                return Places(parts, starts, known, path, key, is_cached=True)
        source, begun = self._begin(path, key, len(parts))
        self._look_up(infos, held[begun:], looked)
        for i, part, start in zip(held[begun:], parts[begun:], starts[begun:], strict=False):
            looked[i].speak(source, part.unspoken(name), int(start))
        kept = caches.keep(path, key, source) if key else Kept(source)
        return Places(parts, starts, kept, path, key, is_cached=False)

    def _begin(self, path: Path | None, key: dict[str, Any], parts: int) -> tuple[Any, int]:
        """Return the map to begin with: an older one of the same base, if parts only came since."""
        if key:
            old = Stored.open(path)
            if old is not None and old.size == self.rows and isinstance(old.key, dict):
                known = old.key.get("parts") or []
                same = {**key, "parts": known} == old.key
                if same and known == key["parts"][: len(known)] and len(known) < parts:
                    try:
                        return old.whole().astype(np.int32), len(known)
                    except Unusable:
                        pass
        dtype = np.int32 if key else np.int64
        return np.full(self.rows, -1, dtype), 0

    def _look_up(
        self, infos: Sequence[PartInfo], wanted: Sequence[int], looked: dict[int, _LookedUp]
    ) -> None:
        """Look up the keys of some parts."""
        missing = [i for i in wanted if i not in looked]
        if not missing:
            return
        key = infos[missing[0]].key
        is_even = self._is_even(key)

        def read(i: int) -> Any:
            keys = part_keys(self.view, infos[i])
            # Ids are looked up at once and let go of; they are much longer than what is found.
            return self.codes(keys, key).astype(np.int32) if is_even else keys

        found = list(tracked(in_order(read, missing), "reading overlays", unit="files",
                             total=len(missing), size=lambda _: 1))  # fmt: skip
        if is_even:
            for i, codes in zip(missing, found, strict=True):
                looked[i] = _LookedUp(codes, None, self.rows)
            return
        # All keys at once: each look-up hashes one side, and the base may be long.
        together = pa.chunked_array([c for k in found for c in k.chunks], pa.string())
        codes, space = self.codes(together, key), self._space(key)
        ends = np.cumsum([len(k) for k in found])
        for i, mine in zip(missing, np.split(codes, ends[:-1]), strict=True):
            looked[i] = _LookedUp(mine, space.rows, space.size)

    def codes(self, keys: pa.ChunkedArray, key: str) -> Int:
        """Return a number for each key of a part, in normal form: -1 where no base row has it.

        Of ids it is the base row, unless those of the base are odd.
        """
        if self._is_even(key):
            return self._codes(self._words_of_base(), keys)
        return self._space(key).codes(keys)

    def _is_even(self, key: str) -> bool:
        return key == "id" and self.words() is not None

    def _words_of_base(self) -> U64:
        words = self.words()
        return np.zeros((0, 5), np.uint64) if words is None else words

    def _space(self, key: str) -> KeySpace:
        if key not in self._spaces:
            base = normal_keys(self.keys(base_column(key)), key)
            self._spaces[key] = KeySpace(base, unique=key == "id")
        return self._spaces[key]

    def _codes(self, words: U64, keys: pa.ChunkedArray) -> Int:
        """Return the base row of each id of a part."""
        # A part in the order of the base needs no looking up.
        if len(keys) == self.rows and _are(keys, words) and self._is_unique(words):
            return np.arange(self.rows, dtype=np.int64)
        with self._making:
            if self._finder is None:
                self._finder = Finder(words)
        return finder_rows(self._finder, keys)

    @staticmethod
    def _is_unique(words: U64) -> bool:
        """Say whether no two ids can be equal; a damaged base may repeat them."""
        lead = np.sort(leading_bits(words))
        return not (lead[1:] == lead[:-1]).any()


def _are(keys: pa.ChunkedArray, words: U64) -> bool:
    """Say whether keys are exactly these ids, in this order."""
    at = 0
    for chunk in keys.chunks:
        mine = id_words(chunk)
        if mine is None or not np.array_equal(mine, words[at : at + len(mine)]):
            return False
        at += len(mine)
    return at == len(words)


def _first_alike(infos: Sequence[PartInfo], held: tuple[int, ...]) -> str:
    """Return the first column, by name, that exactly these parts hold: it names their cache."""
    holders: dict[str, list[int]] = {}
    for i, part in enumerate(infos):
        for column in part.columns:
            holders.setdefault(column, []).append(i)
    return min(c for c, which in holders.items() if tuple(which) == held)


def part_keys(view: View, info: PartInfo) -> pa.ChunkedArray:
    """Return the keys of a part in the form in which they are compared."""
    with view.open(info.file) as opened, reading(info.file.path):
        column = sound(opened.read(columns=[info.key])).column(0)
        return normal_keys(column, info.key)


def union_keys(view: View, infos: Sequence[PartInfo]) -> pa.ChunkedArray:
    """Return every key that any of the parts holds, once, oldest first."""
    found = [chunk for info in infos for chunk in part_keys(view, info).chunks]
    return pa.chunked_array([pc.unique(pa.chunked_array(found, pa.string()))])
