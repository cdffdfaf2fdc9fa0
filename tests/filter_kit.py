# SPDX-License-Identifier: Apache-2.0
"""For tests: filters as text and batches of flows, both drawn from the same small pools, so that filters choose some rows."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from flowgauge.flow.addresses import from_texts
from flowgauge.flow.batch import FlowBatch, dtype_of, shape_of
from flowgauge.flow.names import Names
from flowgauge.schema.column import Column, Kind, Role, Stored
from flowgauge.schema.columns import stored_columns
from flowgauge.schema.filters import quoted
from flowgauge.schema.filters.fields import FIELDS, Field
from flowgauge.schema.filters.values import ValueProblem, number
from flowgauge.schema.well_known import PORT_NUMBERS, PROTOCOL_NUMBERS

GROUPS = tuple(group for group in Stored if group not in (Stored.CORE, Stored.NEVER))
"""Every column group: a store with all of them has each column that a filter may use."""

COLUMNS = stored_columns(GROUPS)
HELD = {column.name for column in COLUMNS}
USABLE = {name: field for name, field in FIELDS.items() if all(column.name in HELD for column in field.columns)}
"""Fields whose columns such a store has."""

TEXTS = (
    "", "web", "Web", "web-1", "flow-demo", "pod", "Pod", "a.b", "näme", "NÄME", "İstanbul", "ΑΣ", "\u212a", "a b", 'say "hi"',
    "back\\slash", "it's", "100%", "line\nbreak", "and", "(x)", "*", "0", "straße", "EXT: client",
)  # fmt: skip
LISTS = ("", "eth0", "eth0,veth1", "Eth0,0", "1,2,3", "0", "web,flow-demo")
ADDRESSES = (
    "0.0.0.0", "10.0.0.1", "10.0.255.255", "10.1.0.0", "192.0.2.7", "255.255.255.255", "::", "::1", "2001:db8::1",
    "2001:db8:ffff::", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::fffe:ffff:ffff", "::1:0:0:0",
)  # fmt: skip
BLOCKS = ("10.0.0.0/16", "0.0.0.0/0", "::/0", "2001:db8::/32", "::ffff:10.0.0.0/104", "::/64", "10.0.0.1/8", "fe80::/10")
MACS = ("00:00:00:00:00:00", "02:00:5e:10:00:01", "ff:ff:ff:ff:ff:ff")


def batch(rows: int, seed: int, now_ms: int) -> FlowBatch:
    """``rows`` flows of the last minute with every stored column, values from the pools and at the edges of each type."""
    random = np.random.default_rng(seed)
    return FlowBatch({column.physical: _values(column, rows, random, now_ms) for column in COLUMNS}, rows)


def _values(column: Column, rows: int, random: np.random.Generator, now_ms: int) -> np.ndarray | Names:
    if column.kind in (Kind.NAMES, Kind.LIST):
        pool = LISTS if column.kind is Kind.LIST else TEXTS
        return Names.from_strings([pool[pick] for pick in random.integers(0, len(pool), rows)])
    if column.kind is Kind.ADDR:
        return from_texts([ADDRESSES[pick] for pick in random.integers(0, len(ADDRESSES), rows)])
    if column.kind is Kind.MAC:
        pool = np.array([list(bytes.fromhex(mac.replace(":", ""))) for mac in MACS], np.uint8)
        return pool[random.integers(0, len(MACS), rows)]
    dtype = dtype_of(column)
    if column.role is Role.TIME:
        return now_ms - random.integers(0, 60_000, rows)
    if column.kind is Kind.ENUM:
        return random.integers(0, len(column.labels), rows).astype(dtype)
    info = np.iinfo(dtype)
    pool = np.array([max(info.min, -1), 0, 1, 2, 6, 17, 53, 80, info.max // 2, info.max - 1, info.max], dtype)
    if column.name == "proto":
        pool = np.array([1, 6, 17, 58, 132, 47, 0, 255], dtype)
    if column.name.endswith("_port"):
        pool = np.array([0, 53, 80, 5432, 40000, 65535], dtype)
    return pool[random.integers(0, len(pool), shape_of(column, rows))]


SPACES = st.sampled_from((" ", "  ", "\t"))


def filters(now_ms: int) -> st.SearchStrategy[str]:
    """Filters of a few comparisons over any usable field, joined in any way."""
    comparison = st.sampled_from(sorted(USABLE)).flatmap(lambda name: comparisons(name, USABLE[name], now_ms))

    def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("({} {} {})".format, inner, st.sampled_from(("and", "or", "AND")), inner),
            st.builds("not {}".format, inner),
            st.builds("{} and {} or {}".format, inner, inner, inner),
        )

    return st.recursive(comparison, joined, max_leaves=5)


def comparisons(name: str, field: Field, now_ms: int) -> st.SearchStrategy[str]:
    """One comparison of ``name`` that means something."""
    values = _value_texts(field, now_ms)
    kind = field.columns[0].kind
    operators = ["=", "!=", "=="]
    if kind in (Kind.NAMES, Kind.LIST):
        patterns = st.builds(f"{name} {{}} {{}}".format, st.sampled_from(("~", "!~")), PATTERNS.map(_in_quotes))
        return st.one_of(_compared(name, operators, values), _listed(name, values), st.just(f"{name} exists"), patterns)
    if kind not in (Kind.ENUM, Kind.ADDR, Kind.MAC):
        operators += ["<", "<=", ">", ">="]
    return st.one_of(_compared(name, operators, values), _listed(name, values), st.just(f"{name} exists"))


def _compared(name: str, operators: list[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds("{}{}{}{}{}".format, st.just(name), SPACES, st.sampled_from(operators), SPACES, values)


def _listed(name: str, values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(values, min_size=1, max_size=4).map(", ".join)
    return st.builds(f"{name} {{}} ({{}})".format, st.sampled_from(("in", "not in", "NOT IN")), lists)


def _value_texts(field: Field, now_ms: int) -> st.SearchStrategy[str]:
    column = field.columns[0]
    match column.kind:
        case Kind.ADDR:
            return st.sampled_from((*ADDRESSES, *BLOCKS))
        case Kind.MAC:
            return st.sampled_from(MACS)
        case Kind.NAMES:
            return st.sampled_from([quoted(text) for text in TEXTS if text])
        case Kind.LIST:
            return st.sampled_from(("eth0", "0", "web", "VETH1", '"eth0,veth1"'))
        case Kind.ENUM:
            return st.sampled_from([label for label in column.labels if label])
        case _:
            return _number_texts(column, now_ms)


def _number_texts(column: Column, now_ms: int) -> st.SearchStrategy[str]:
    if column.role is Role.TIME:
        return st.integers(-70_000, 10_000).map(lambda ago: str((now_ms + ago) * 1_000_000 + 500_000 * (ago % 2)))
    edges = st.sampled_from((0, 1, 2, 6, 53, 80, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**32 - 1, 2**32, 2**64 - 1, 2**64))
    numbers = edges.filter(lambda edge: edge <= column.bounds[1] * column.scale).map(str)
    if column.name == "proto":
        return st.one_of(numbers, st.sampled_from(sorted(PROTOCOL_NUMBERS)))
    if column.name.endswith("_port"):
        return st.one_of(numbers, st.sampled_from(sorted(PORT_NUMBERS)))
    if not column.unit:
        return numbers
    units = {"ns": ("ns", "us", "µs", "ms", "s", "m"), "bytes": ("", "B", "kB", "KiB", "MB", "g"), "packets": ("", "k", "M")}
    with_units = st.builds(
        "{}{}".format, st.sampled_from(("1", "2.5", "500", "1_000", "0.001")), st.sampled_from(units[column.unit])
    ).filter(lambda text: _is_value(column, text))
    return st.one_of(numbers, with_units)


def _is_value(column: Column, text: str) -> bool:
    try:
        number(column, text)
    except ValueProblem:
        return False
    return True


def _in_quotes(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


_ATOMS = st.sampled_from((
    "a", "b", "e", "W", ".", "-", "0", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", "[a-c]", "[^a-z]", r"[\w.-]", "[A-Z0]", r"\.",
    "ä", "Ä", "[äö]", "[^Ä]", "^", "$", r"\b", r"\B", "Σ", "x{", "]", r"\"", r"\\", " ", "[]-]", "İ",
))  # fmt: skip


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    counts = st.sampled_from(("*", "+", "?", "{2}", "{1,3}", "{0,}", "*?", "+?", "??"))
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("({}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, counts),
        st.builds("({})".format, inner),
    )


PATTERNS: st.SearchStrategy[str] = st.one_of(st.recursive(_ATOMS, _grown, max_leaves=6), st.just(""))
"""Patterns that ``~`` takes."""
