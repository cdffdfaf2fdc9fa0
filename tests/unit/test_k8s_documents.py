# SPDX-License-Identifier: Apache-2.0
"""Bytes become JSON documents however they are written, and what is broken costs only itself."""

from __future__ import annotations

import codecs
import json

import pytest

from flowgauge.k8s import documents
from flowgauge.k8s.documents import Broken, Document, Documents

LINES = b'{"a": 1}\n{"b": [2, 3]}\n'
PRETTY = json.dumps({"kind": "List", "items": [{"x": {"y": 1}}]}, indent=4).encode() + b"\n"


def read(data: bytes) -> list[tuple[int, object]]:
    """(line, value or what was expected) of everything in ``data``."""
    found = Documents().feed(data)
    return [(one.line, one.value if isinstance(one, Document) else one.expected) for one in found]


def test_lines_and_concatenated_pretty_documents_are_read() -> None:
    assert read(LINES) == [(1, {"a": 1}), (2, {"b": [2, 3]})]
    first, second = read(PRETTY + b"\n" + PRETTY + LINES)[:2]
    assert first == (1, json.loads(PRETTY))
    assert second == (PRETTY.count(b"\n") + 2, json.loads(PRETTY))


@pytest.mark.parametrize("encode", [lambda t: codecs.BOM_UTF8 + t.encode(), lambda t: t.encode("utf-16")])
def test_files_of_a_windows_shell_are_read(encode: object) -> None:
    assert callable(encode)
    assert read(encode('{"name": "bücher"}\r\n{"b": 2}\r\n')) == [(1, {"name": "bücher"}), (2, {"b": 2})]


def test_a_broken_line_costs_itself_only_and_is_named() -> None:
    found = list(Documents().feed(b'{"a": 1}\n{"b": oops}\n{"c": 3}\n'))
    assert isinstance(found[1], Broken)
    assert (found[1].line, found[1].expected) == (2, "JSON")
    assert "expecting value" in found[1].found
    assert isinstance(found[2], Document)
    assert (found[2].line, found[2].value) == (3, {"c": 3})


def test_a_broken_document_of_many_lines_is_told_once() -> None:
    broken = PRETTY.replace(b'"y": 1', b'"y": one')
    where = broken[: broken.index(b"one")].count(b"\n") + 1
    assert read(broken + PRETTY) == [(where, "JSON"), (broken.count(b"\n") + 1, json.loads(PRETTY))]


def test_what_is_no_json_is_told_once() -> None:
    yaml = b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n"
    found = list(Documents().feed(yaml))
    assert [(one.line, one.expected, one.found) for one in found if isinstance(one, Broken)] == [
        (1, "a JSON object", "'apiVersion: v1'")
    ]
    assert read(yaml + LINES)[1:] == [(5, {"a": 1}), (6, {"b": [2, 3]})]


def test_an_error_does_not_show_what_may_be_a_secret() -> None:
    found = list(Documents().feed(b'{"kind": "Secret", "data": {"password": hunter2hunter2}}\n{}\n'))
    assert isinstance(found[0], Broken)
    assert "hunter2" not in found[0].found


def test_a_partial_line_waits_for_its_rest() -> None:
    stream = Documents()
    assert list(stream.feed(b'{"a": 1}\n{"b": tr')) == [Document(1, {"a": 1})]
    assert stream.partial is not None
    assert stream.partial.line == 2
    assert list(stream.feed(b'ue}\n{"c"')) == [Document(2, {"b": True})]
    assert list(stream.feed(b": 3}")) == [Document(3, {"c": 3})]
    assert stream.partial is None


def test_nesting_and_numbers_beyond_reason_are_broken_not_fatal() -> None:
    deep = b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}\n{}\n"
    huge = b'{"a": ' + b"9" * 10_000 + b"}\n{}\n"
    for data in (deep, huge):
        first, second = list(Documents().feed(data))
        assert isinstance(first, Broken)
        assert second == Document(2, {})


def test_a_document_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_DOCUMENT_CHARS", 1000)
    stream = Documents()
    assert not list(stream.feed(b'{"a": "' + b"x" * 900))
    assert [type(one) for one in stream.feed(b"x" * 900)] == [Broken]
    assert list(stream.feed(b'x"}\n{"b": 2}\n')) == [Document(2, {"b": 2})]
