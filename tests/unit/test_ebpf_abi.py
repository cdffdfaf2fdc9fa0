# SPDX-License-Identifier: Apache-2.0
"""The numpy types are the C structures of the compiled object, to the byte: its own BTF is the witness."""

from __future__ import annotations

import json
import re
import subprocess
from functools import cache
from typing import Any

import numpy as np
import pytest

from flowgauge.ebpf import abi
from flowgauge.ebpf.abi_settings import CACHE_WAYS, STAMP_AGENTS
from flowgauge.ebpf.parts import OBJECT

HEADER = OBJECT.parent / "programs" / "abi.h"
pytestmark = pytest.mark.tool("bpftool")


@cache
def btf() -> dict[int, dict[str, Any]]:
    """The object's types by their id."""
    if not OBJECT.exists():
        pytest.skip("the eBPF object is not built (make bpf)")
    answer = subprocess.run(["bpftool", "btf", "dump", "file", str(OBJECT), "-j"], capture_output=True, check=True).stdout
    return {entry["id"]: entry for entry in json.loads(answer)["types"]}


def resolved(type_id: int) -> dict[str, Any]:
    """The type behind typedefs and qualifiers."""
    entry = btf()[type_id]
    while entry["kind"] in ("TYPEDEF", "CONST", "VOLATILE"):
        entry = btf()[entry["type_id"]]
    return entry


def layout(name: str) -> tuple[int, dict[str, tuple[int, str, int]]]:
    """Size of a C structure, and (offset, kind and width of an element, how many) of each member."""
    struct = next(entry for entry in btf().values() if entry["kind"] == "STRUCT" and entry["name"] == name)
    members: dict[str, tuple[int, str, int]] = {}
    for member in struct["members"]:
        kind, count = resolved(member["type_id"]), 1
        if kind["kind"] == "ARRAY":
            kind, count = resolved(kind["type_id"]), kind["nr_elems"]
        assert kind["kind"] in ("INT", "STRUCT"), f"{name}.{member['name']} is {kind['kind']}"
        members[member["name"]] = member["bits_offset"] // 8, f"{kind['kind'][0]}{kind['size']}", count
    return struct["size"], members


def numpy_layout(dtype: np.dtype[Any]) -> tuple[int, dict[str, tuple[int, str, int]]]:
    members = {}
    for field in dtype.names or ():
        kind, offset = (dtype.fields or {})[field][:2]
        letter = "S" if kind.base.names else "I"
        members[field] = offset, f"{letter}{kind.base.itemsize}", int(np.prod(kind.shape, dtype=int))
    return dtype.itemsize, members


@pytest.mark.parametrize("name", abi.STRUCTS)
def test_structure_and_numpy_type_agree(name: str) -> None:
    assert numpy_layout(abi.STRUCTS[name]) == layout(name)


@pytest.mark.parametrize("name", abi.STRUCTS)
def test_there_is_no_hidden_padding(name: str) -> None:
    """The kernel's hash map compares all bytes of a key, so each must be a member that is set."""
    size, members = layout(name)
    assert sum(int(width[1:]) * count for _, width, count in members.values()) == size


def test_the_header_has_no_structure_that_only_one_side_knows() -> None:
    assert set(re.findall(r"^struct (\w+) \{", HEADER.read_text(), re.MULTILINE)) == set(abi.STRUCTS)


def test_constants_are_those_of_the_header() -> None:
    defined = dict(re.findall(r"^#define (\w+) (\w+)", HEADER.read_text(), re.MULTILINE))
    assert int(defined["OBSERVED_EGRESS"].rstrip("u"), 16) == abi.OBSERVED_EGRESS
    assert int(defined["FEATURE_NAT"]) == abi.FEATURE_NAT
    assert int(defined["CACHE_WAYS"]) == CACHE_WAYS
    assert int(defined["STAMP_AGENTS"], 16) == STAMP_AGENTS
