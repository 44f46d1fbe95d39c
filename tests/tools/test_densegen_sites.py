"""Finding sites: against an oracle that walks the sequence letter by letter (MNT-4)."""

from __future__ import annotations

from hypothesis import example, given, strategies as st

from usr_nb.tools.densegen import sites

HEXAMERS = {"sigma70_high": "TTGACA", "sigma70_mid": "ACCGCG", "sigma70_low": "GCAGGT"}
PAIRS = {"A": "T", "C": "G", "G": "C", "T": "A"}

letters = st.text("ACGT", max_size=3) | st.sampled_from(
    [*HEXAMERS.values(), "TATAAT", "TATAATATAAT", "TTGACATTGACA", "ACGT", "acCGcg"]
)
sequences = st.lists(letters, max_size=12).map("".join)
motifs = st.text("ACGT", min_size=1, max_size=4) | st.sampled_from(["TTGACA", "TGTCAA", "ACGT"])
entries = st.one_of(
    st.builds("{}:{}".format, st.sampled_from(["lexA", "CpxR", "soxS"]), motifs),
    st.sampled_from(["lexA", ":ACGT", "lexA:", "", " : ", "cpxr:acgt", None]),
)
plans = st.sampled_from([*HEXAMERS, None, "", "other"])


def other_strand(word: str) -> str:
    return "".join(PAIRS[c] for c in reversed(word))


def oracle(sequence: str, plan: str | None, parts: list[str | None], shortest: int):
    """The rules of densegen.md in the plainest words."""
    s = sequence.upper()
    used, detail = [], []
    for entry in parts:
        if entry is None or ":" not in entry:
            continue
        tf = entry[: entry.index(":")].strip().lower()
        motif = entry[entry.index(":") + 1 :].strip().upper()
        if tf == "" or motif == "" or len(motif) < shortest:
            continue
        for at in range(len(s)):
            here = s[at : at + len(motif)]
            if here in (motif, other_strand(motif)):
                strand = "fwd" if here == motif else "rev"
                used.append(f"{tf}:{motif}")
                detail.append((at, tf, strand, motif))
                break
    name = plan or "sigma70_mid"
    if name in HEXAMERS:
        for side, word in (("upstream", HEXAMERS[name]), ("downstream", "TATAAT")):
            hits = [at for at in range(len(s)) if s[at : at + 6] == word]
            detail += [(at, f"{name}_{side}", "fwd", word) for at in hits]
    return used, sorted(detail, key=lambda d: d[:2])


@given(sequences, plans, st.lists(entries, max_size=8), st.integers(2, 5))
@example("TATAATATAATAAT", "sigma70_low", ["lexA:TATA", "lexA:TATA"], 4)
@example("ACGT", None, ["cpxR:ACGT"], 4)
@example("ttTTTTTTTTtgacaa", "sigma70_high", ["lexA:GTCAAA"], 6)
def test_MNT_4_sites_equal_the_oracle(sequence, plan, parts, shortest):
    found = sites.derive(sequence, plan, sites.read_parts(parts, min_length=shortest))
    used, detail = oracle(sequence, plan, parts, shortest)
    assert [p.text for p in found.used] == used
    assert [(d["offset"], d["tf"], d["orientation"], d["tfbs"]) for d in found.detail] == detail
    assert found.factors == sorted({u.partition(":")[0] for u in used})
    assert found.counts == {tf: sum(u.startswith(f"{tf}:") for u in used) for tf in found.factors}
    assert sites.is_well_formed(found.detail)


def test_MNT_4_the_earliest_match_wins_on_whichever_strand():
    assert sites.find_part("AAAGTCTTTTGAC", "GAC") == (3, "rev")
    assert sites.find_part("AAAGACTTTTGTC", "GAC") == (3, "fwd")


def test_MNT_4_forward_wins_a_tie():
    # ACGT is its own reverse complement.
    assert sites.find_part("TTACGT", "ACGT") == (2, "fwd")


def test_MNT_4_overlapping_hexamers_are_all_found():
    detail = sites.promoter_sites("TATAATATAAT", "sigma70_mid")
    assert [d["offset"] for d in detail if d["tf"] == "sigma70_mid_downstream"] == [0, 5]


def test_MNT_4_hexamers_are_not_looked_for_on_the_other_strand():
    assert sites.promoter_sites(other_strand("TTGACA"), "sigma70_high") == []


def test_MNT_4_rna_and_protein_have_their_own_other_strand():
    assert sites.find_part("AAUGGC", "GCC", bio_type="rna") == (3, "rev")
    assert sites.find_part("AAUGGC", "CAU", bio_type="rna") == (1, "rev")
    assert sites.find_part("GGTT", "AACC", bio_type="protein") is None


def test_MNT_4_detail_is_judged():
    site = {"offset": 3, "orientation": "fwd", "tf": "lexa", "tfbs": "ACGT"}
    assert sites.is_well_formed([site, site | {"offset": 4}])
    bad = [None, "x", [None], [site | {"tf": None}], [site | {"orientation": "+"}],
           [site | {"offset": -1}], [site | {"tfbs": ""}],
           [site, site | {"offset": 1}]]  # fmt: skip
    assert not any(sites.is_well_formed(d) for d in bad)


def test_MNT_4_sites_at_one_offset_are_sorted_by_factor():
    found = sites.derive("TTGACCAA", "none", sites.read_parts(["zeta:TTGACC", "alpha:TTGA"]))
    assert [(s["offset"], s["tf"]) for s in found.detail] == [(0, "alpha"), (0, "zeta")]
