"""REG-2..6, REG-9: the registry as a value."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest
import yaml
from hypothesis import given, settings, strategies as st

from usr_nb.contract.registry import (
    STATE_ENTRY,
    Column,
    NamespaceEntry,
    Registry,
    contract_hash,
    evolution,
    parse_columns_spec,
    parse_registry,
)
from usr_nb.errors import NamespaceError, SchemaError, SequencesError

NS = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True).filter(lambda n: n != "usr")
KIND = st.sampled_from(["string", "float64", "list<int8>", "timestamp[us, UTC]"])
FIELDS = st.lists(
    st.tuples(st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True), KIND),
    min_size=1, max_size=4, unique_by=lambda f: f[0],
)  # fmt: skip
TEXT = st.none() | st.text(alphabet=st.characters(codec="utf-8"), max_size=20)


@st.composite
def registries(draw):
    made = Registry()
    for ns in draw(st.lists(NS, max_size=4, unique=True)):
        columns = tuple(Column(f"{ns}__{n}", t) for n, t in draw(FIELDS))
        made = made.with_entry(ns, NamespaceEntry(draw(TEXT), draw(TEXT), columns))
    return made


def entry(*columns: str, ns: str = "m") -> NamespaceEntry:
    return NamespaceEntry("o", "d", parse_columns_spec(",".join(columns), namespace=ns))


def test_REG_2_state_namespace_is_exact():
    wanted = {"masked": "bool", "qc_status": "string", "split": "string", "supersedes": "string",
              "lineage": "list<string>"}  # fmt: skip
    assert {c.name: c.type for c in STATE_ENTRY.columns} == {
        f"usr_state__{k}": v for k, v in wanted.items()
    }


def test_REG_2_the_first_registration_brings_usr_state():
    made = Registry().with_entry("m", entry("x:int8"))
    assert set(made) == {"m", "usr_state"}
    assert made["usr_state"] == STATE_ENTRY


@settings(max_examples=40)
@given(registries())
def test_REG_2_text_and_back(registry):
    if len(registry):
        again = parse_registry(yaml.safe_load(registry.as_yaml()), where="r")
        assert again == registry
        assert again.hash == registry.hash


@settings(max_examples=40)
@given(registries())
def test_REG_3_hash_is_sha256_of_sorted_safe_dump(registry):
    plain = {
        "namespaces": {
            ns: {
                "owner": e.owner, "description": e.description,
                "columns": [{"name": c.name, "type": c.type} for c in e.columns],
            }
            for ns, e in registry.items()
        }
    }  # fmt: skip
    text = yaml.safe_dump(plain, sort_keys=True)
    assert registry.hash == hashlib.sha256(text.encode("utf-8")).hexdigest()


def test_REG_3_other_keys_and_order_do_not_count():
    text = {"namespaces": {"usr_state": STATE_ENTRY.as_plain(),
            "m": {"columns": [{"type": "int8", "name": "m__x", "note": "?"}], "colour": 1}},
            "version": 7}  # fmt: skip
    found = parse_registry(text, where="r")
    assert (
        found.hash
        == Registry().with_entry("m", NamespaceEntry(None, None, (Column("m__x", "int8"),))).hash
    )


STATE = STATE_ENTRY.as_plain()
BROKEN = [
    None, [], "x", 3, {}, {"namespaces": None}, {"namespaces": []},
    {"namespaces": {}},
    {"namespaces": {"usr_state": STATE, "Bad": {"columns": []}}},
    {"namespaces": {"usr_state": STATE,
                    "a__b": {"columns": [{"name": "a__b__x", "type": "int8"}]}}},
    {"namespaces": {"usr_state": STATE, 3: {"columns": []}}},
    {"namespaces": {"usr_state": STATE, "usr": {"columns": [{"name": "usr__x", "type": "int8"}]}}},
    {"namespaces": {"usr_state": STATE, "m": None}},
    {"namespaces": {"usr_state": STATE, "m": {"columns": []}}},
    {"namespaces": {"usr_state": STATE, "m": {"columns": {"m__x": "int8"}}}},
    {"namespaces": {"usr_state": STATE, "m": {"columns": ["m__x"]}}},
    {"namespaces": {"usr_state": STATE, "m": {"columns": [{"name": "m__x"}]}}},
    {"namespaces": {"usr_state": STATE, "m": {"columns": [{"name": "m__x", "type": 3}]}}},
    {"namespaces": {"usr_state": STATE, "m": {"columns": [{"name": "m__x", "type": "int7"}]}}},
    {"namespaces": {"usr_state": STATE, "m": {"columns": [{"name": "id", "type": "string"}]}}},
    {"namespaces": {"usr_state": STATE, "m": {"columns": [{"name": "n__x", "type": "int8"}]}}},
    {"namespaces": {"usr_state": STATE, "m": {"columns": [{"name": "m__x\n", "type": "int8"}]}}},
    {"namespaces": {"usr_state": STATE, "m": {"columns": [{"name": "m__x", "type": "int8"}] * 2}}},
    {"namespaces": {"usr_state": STATE,
                    "m": {"owner": ["x"], "columns": [{"name": "m__x", "type": "int8"}]}}},
]  # fmt: skip


@pytest.mark.parametrize("plain", BROKEN, ids=lambda p: str(p)[:60])
def test_REG_2_broken_forms_give_typed_errors(plain):
    with pytest.raises((NamespaceError, SchemaError)):
        parse_registry(plain, where="registry.yaml")


@pytest.mark.parametrize("change", ["missing", "extra", "retyped", "renamed"])
def test_REG_2_usr_state_must_hold_exactly_its_columns(change):
    columns = [dict(c) for c in STATE["columns"]]
    if change == "missing":
        columns.pop()
    elif change == "extra":
        columns.append({"name": "usr_state__more", "type": "int8"})
    elif change == "retyped":
        columns[0]["type"] = "string"
    else:
        columns[0]["name"] = "usr_state__mask"
    plain = {"namespaces": {"usr_state": {**STATE, "columns": columns}}}
    with pytest.raises(NamespaceError, match="usr_state") as e:
        parse_registry(plain, where="r")
    assert "usr_state__lineage:list<string>" in e.value.hint


def test_REG_4_specs_may_leave_the_prefix_out():
    found = parse_columns_spec("x:float64, m__y:list<int8>", namespace="m")
    assert [(c.name, c.type) for c in found] == [("m__x", "float64"), ("m__y", "list<int8>")]


@pytest.mark.parametrize(
    "spec", ["", "x", "x:", ":int8", "x:int8,x:int16", "x:int8,m__x:int8", "n__x:int8", "id:string",
             "sequence:string", "x y:int8", "x:int8,,y:int8"]
)  # fmt: skip
def test_REG_4_wrong_specs(spec):
    with pytest.raises((NamespaceError, SchemaError)):
        parse_columns_spec(spec, namespace="m")


def test_REG_4_missing_names_suggest():
    registry = Registry().with_entry("evo2", entry("score:float64", ns="evo2"))
    with pytest.raises(NamespaceError, match="not registered") as e:
        registry.entry("evo")
    assert "'evo2'" in e.value.hint
    assert "usr namespace register evo" in e.value.hint
    with pytest.raises(NamespaceError) as e:
        registry.column("evo2", "evo2__scor")
    assert "'evo2__score'" in e.value.hint


@given(FIELDS, FIELDS)
def test_REG_6_evolution_tells_added_removed_retyped(before, after):
    old = NamespaceEntry(None, None, tuple(Column(f"m__{n}", t) for n, t in before))
    new = NamespaceEntry(None, None, tuple(Column(f"m__{n}", t) for n, t in after))
    found = evolution(old, new)
    a, b = dict(before), dict(after)
    assert set(found.added) == {f"m__{n}" for n in b if n not in a}
    assert set(found.removed) == {f"m__{n}" for n in a if n not in b}
    assert set(found.retyped) == {f"m__{n}" for n in a if n in b and a[n] != b[n]}
    assert set(found.breaking) == set(found.removed) | set(found.retyped)


def test_REG_6_a_retyped_column_is_a_breach():
    old = NamespaceEntry(None, None, (Column("m__x", "int32"), Column("m__y", "string")))
    new = NamespaceEntry(None, None, (Column("m__x", "int64"), Column("m__z", "string")))
    assert evolution(old, new).breaking == ("m__y", "m__x")


def test_REG_6_other_spellings_of_a_type_are_no_change():
    old = NamespaceEntry(None, None, (Column("m__x", "list<large_string>"),))
    new = NamespaceEntry(None, None, (Column("m__x", "list<string>"),))
    assert evolution(old, new).breaking == ()


def test_REG_9_contract_hash_is_over_namespace_names_and_types():
    columns = parse_columns_spec("x:float64,y:list<string>", namespace="m")
    pairs = [["m__x", "float64"], ["m__y", "list<string>"]]
    text = json.dumps(["m", pairs], separators=(",", ":"))
    assert contract_hash("m", columns) == hashlib.sha256(text.encode()).hexdigest()
    assert contract_hash("m", columns) != contract_hash("n", columns)
    assert contract_hash("m", columns) != contract_hash("m", columns[::-1]), "ordered"


def test_REG_9_contract_hash_does_not_see_other_namespaces_or_owners():
    one = Registry().with_entry("m", entry("x:int8"))
    two = one.with_entry("n", entry("y:int8", ns="n"))
    three = two.with_entry("m", NamespaceEntry("another", None, one["m"].columns))
    assert one.hash != two.hash != three.hash
    assert {r.contract_hash("m") for r in (one, two, three)} == {one.contract_hash("m")}
    assert one.with_entry("m", entry("x:int16")).contract_hash("m") != one.contract_hash("m")


def test_REG_9_earlier_contracts_of_a_grown_namespace_are_accepted():
    early = Registry().with_entry("m", entry("x:int8"))
    grown = early.with_entry("m", entry("x:int8", "y:int8"))
    assert grown.accepts_contract("m", early.contract_hash("m"))
    assert grown.accepts_contract("m", grown.contract_hash("m"))
    assert not early.accepts_contract("m", grown.contract_hash("m"))
    assert not grown.accepts_contract("n", early.contract_hash("m"))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8),
                    lambda c: st.lists(c, max_size=3) | st.dictionaries(
                        st.sampled_from(["namespaces", "m", "usr_state", "columns", "name"]),
                        c, max_size=3), max_leaves=12))  # fmt: skip
def test_REG_2_any_form_gives_a_registry_or_a_typed_error(plain):
    with contextlib.suppress(SequencesError):
        assert "usr_state" in parse_registry(plain, where="r")
