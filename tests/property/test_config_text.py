# SPDX-License-Identifier: Apache-2.0
"""Whatever text a document holds, reading it gives a document or our own error, and round trips keep its meaning."""

from __future__ import annotations

import contextlib
import json

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgauge.config import yaml_text
from flowgauge.config.load import loads
from flowgauge.errors import ConfigError, Problem

KEY = st.text(max_size=80)
"""YAML limits a key on the line of its value to 1,024 characters, escapes included (§7.4.2)."""
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=20,
)
YAML_LIKE = st.text(alphabet="spec: {}[],&*a!|>'\"\n-?#%@\t~0e.\\", max_size=200)


@given(st.text(max_size=300) | YAML_LIKE)
@settings(max_examples=300)
def test_no_text_raises_anything_but_our_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        loads(text)


@given(PLAIN)
@settings(max_examples=200)
def test_json_reads_as_what_it_is(value: object) -> None:
    (document,) = yaml_text.parse(json.dumps(value), "test")
    assert document.value == value
    assert document.problems == []


@given(st.dictionaries(st.sampled_from(["sampling", "maxFlows", "enable", "interfaces", "features"]), PLAIN))
@settings(max_examples=200)
def test_any_value_of_a_field_is_taken_or_explained(fields: dict[str, object]) -> None:
    problems: list[Problem] = []
    try:
        loads(yaml.safe_dump({"spec": {"exporter": fields}}))
    except ConfigError as error:
        problems = error.problems
    assert all(problem.path.startswith("spec.exporter") and problem.message and problem.line for problem in problems)
