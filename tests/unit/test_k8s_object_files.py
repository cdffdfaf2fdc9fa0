# SPDX-License-Identifier: Apache-2.0
"""Files and folders of objects are read whole and then followed: growth, truncation, rotation, rewriting."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowgauge.demo.objects.log import EventLog
from flowgauge.demo.objects.workloads import namespace
from flowgauge.errors import UsageError
from flowgauge.k8s import growing_file, object_files
from flowgauge.k8s.changes import Change
from flowgauge.k8s.object_files import ObjectFiles, ObjectProblem

NOON_NS = 1_766_059_200_123_456_789


def thing(name: str, uid: str = "") -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": uid or f"uid-{name}"}}


def listed(*names: str) -> str:
    """What ``kubectl get namespaces -o json`` prints."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [thing(name) for name in names]}, indent=4) + "\n"


def event(kind: str, name: str, time: str = "2025-12-18T12:00:00.000000001Z") -> str:
    return json.dumps({"type": kind, "time": time, "object": thing(name)}) + "\n"


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def files(path: Path, clock: Clock) -> Iterator[ObjectFiles]:
    found = ObjectFiles(path, clock)
    yield found
    found.close()


def told(files: ObjectFiles) -> list[str]:
    """What a poll gives, as ``ADDED name``; a problem as ``expected``."""
    return [f"{one.kind} {one.object.meta.name}" if isinstance(one, Change) else one.expected for one in files.poll()]


def changes(files: ObjectFiles) -> list[Change]:
    return [one for one in files.poll() if isinstance(one, Change)]


def test_a_list_single_objects_and_concatenated_documents_are_all_read(path: Path, files: ObjectFiles) -> None:
    path.write_text(listed("a", "b") + json.dumps(thing("c"), indent=4) + "\n" + json.dumps(thing("d")))
    assert told(files) == ["ADDED a", "ADDED b", "ADDED c", "ADDED d"]
    assert told(files) == []


def test_a_typed_list_without_kinds_of_its_items_is_read(path: Path, files: ObjectFiles) -> None:
    items = [{"metadata": {"name": "a"}}]
    path.write_text(json.dumps({"kind": "NamespaceList", "apiVersion": "v1", "items": items}))
    assert [(one.object.meta.kind, one.object.meta.name) for one in changes(files)] == [("Namespace", "a")]


def test_objects_of_a_snapshot_are_true_when_the_file_was_written(path: Path, files: ObjectFiles) -> None:
    path.write_text(listed("a"))
    os.utime(path, ns=(0, NOON_NS))
    assert [one.time_ms for one in changes(files)] == [NOON_NS // 1_000_000]


def test_the_scenes_event_log_is_followed_with_its_own_times(path: Path, files: ObjectFiles) -> None:
    log = EventLog(path)
    made = log.added(namespace("a", NOON_NS), NOON_NS)
    assert [(one.kind, one.time_ms) for one in changes(files)] == [("ADDED", NOON_NS // 1_000_000)]
    log.modified(made, NOON_NS + 5_000_000)
    log.deleted(made, NOON_NS + 9_000_000)
    assert [(one.kind, one.time_ms - NOON_NS // 1_000_000) for one in changes(files)] == [("MODIFIED", 5), ("DELETED", 9)]


def test_kubectls_own_watch_events_count_from_when_they_were_written(path: Path, files: ObjectFiles) -> None:
    path.write_text(json.dumps({"type": "ADDED", "object": thing("a")}, indent=4) + "\n")
    os.utime(path, ns=(0, NOON_NS))
    assert [one.time_ms for one in changes(files)] == [NOON_NS // 1_000_000]
    with path.open("a") as stream:
        stream.write(json.dumps({"type": "BOOKMARK", "object": {"kind": "Namespace"}}, indent=4) + "\n")
        stream.write(json.dumps({"type": "ERROR", "object": {"kind": "Status", "message": "too old"}}, indent=4) + "\n")
    problems = [one for one in files.poll() if isinstance(one, ObjectProblem)]
    assert [(one.path, one.found) for one in problems] == [("type", "'too old'")]


def test_a_partial_last_line_waits_and_is_told_when_it_stays(path: Path, files: ObjectFiles, clock: Clock) -> None:
    whole = event("ADDED", "b")
    path.write_text(event("ADDED", "a") + whole[:40])
    assert told(files) == ["ADDED a"]
    clock.now += 60
    assert told(files) == ["the rest of the document"]
    assert told(files) == []
    with path.open("a") as stream:
        stream.write(whole[40:])
    assert told(files) == ["ADDED b"]


def test_malformed_lines_and_objects_are_named_and_skipped(path: Path, files: ObjectFiles) -> None:
    nameless = json.dumps({"type": "ADDED", "object": {"kind": "Pod", "metadata": {}}}) + "\n"
    odd = json.dumps({"type": "RENAMED", "object": thing("x")}) + "\n"
    timeless = event("ADDED", "y", time="noon")
    path.write_text(event("ADDED", "a") + "oops\n" + nameless + odd + timeless + event("ADDED", "b"))
    found = list(files.poll())
    assert [one.object.meta.name for one in found if isinstance(one, Change)] == ["a", "b"]
    problems = [one for one in found if isinstance(one, ObjectProblem)]
    assert [(one.line, one.path, one.expected, one.found) for one in problems] == [
        (2, "", "a JSON object", "'oops'"),
        (3, "object.metadata.name", "a text", "nothing"),
        (4, "type", "ADDED, MODIFIED, DELETED, BOOKMARK or ERROR", "'RENAMED'"),
        (5, "time", "an RFC 3339 time", "'noon'"),
    ]
    assert {one.file for one in problems} == {str(path)}


def test_one_malformed_item_of_a_list_costs_itself_only(path: Path, files: ObjectFiles) -> None:
    path.write_text(json.dumps({"kind": "List", "items": [thing("a"), {"kind": "Pod"}, "text", thing("b")]}))
    found = list(files.poll())
    assert [one.path if isinstance(one, ObjectProblem) else one.object.meta.name for one in found] == [
        "a", "items[1].metadata.name", "items[2]", "b",
    ]  # fmt: skip


def test_a_truncated_log_is_read_from_its_beginning(path: Path, files: ObjectFiles) -> None:
    path.write_text(event("ADDED", "a") + event("ADDED", "b"))
    assert told(files) == ["ADDED a", "ADDED b"]
    path.write_text(event("ADDED", "c"))
    assert told(files) == ["ADDED c"]


def test_a_log_rewritten_longer_between_two_polls_is_noticed(path: Path, files: ObjectFiles) -> None:
    path.write_text(event("ADDED", "a"))
    assert told(files) == ["ADDED a"]
    path.write_text("".join(event("MODIFIED", name) for name in "xyz"))
    assert told(files) == ["MODIFIED x", "MODIFIED y", "MODIFIED z"]


def test_a_rotated_log_is_read_to_its_end_and_goes_on_in_the_new_file(path: Path, files: ObjectFiles) -> None:
    path.write_text(event("ADDED", "a"))
    assert told(files) == ["ADDED a"]
    with path.open("a") as stream:
        stream.write(event("ADDED", "b"))
    path.rename(path.with_suffix(".1"))
    path.write_text(event("DELETED", "a"))
    assert told(files) == ["ADDED b", "DELETED a"]


def test_a_file_that_is_away_for_a_moment_is_taken_up_again(path: Path, files: ObjectFiles) -> None:
    path.write_text(event("ADDED", "a"))
    assert told(files) == ["ADDED a"]
    path.unlink()
    assert told(files) == []
    path.write_text(event("ADDED", "b"))
    assert told(files) == ["ADDED b"]


def test_what_a_rewritten_snapshot_no_longer_lists_was_deleted(path: Path, files: ObjectFiles, clock: Clock) -> None:
    path.write_text(listed("a", "b", "c"))
    assert told(files) == ["ADDED a", "ADDED b", "ADDED c"]
    path.write_text(listed("a", "x", "c"))  # in place, as a shell's > does, and as long as before
    os.utime(path, ns=(0, NOON_NS))
    assert told(files) == ["ADDED a", "ADDED x", "ADDED c"]
    clock.now += 60
    assert [(one.kind, one.object.meta.name, one.time_ms) for one in changes(files)] == [("DELETED", "b", NOON_NS // 1_000_000)]
    assert told(files) == []


def test_a_snapshot_that_is_being_rewritten_deletes_nothing_yet(path: Path, files: ObjectFiles, clock: Clock) -> None:
    path.write_text(listed("a", "b"))
    assert told(files) == ["ADDED a", "ADDED b"]
    path.write_text("")
    clock.now += 60
    assert told(files) == []
    path.write_text(listed("b")[:30])
    clock.now += 60
    assert "DELETED a" not in told(files)
    path.write_text(listed("b"))
    assert "ADDED b" in told(files)
    clock.now += 60
    assert told(files) == ["DELETED a"]


def test_a_new_log_file_deletes_nothing(path: Path, files: ObjectFiles, clock: Clock) -> None:
    path.write_text(event("ADDED", "a"))
    assert told(files) == ["ADDED a"]
    path.unlink()
    path.write_text(event("ADDED", "b"))
    assert told(files) == ["ADDED b"]
    clock.now += 60
    assert told(files) == []


def test_every_file_of_a_folder_is_followed_and_new_ones_too(path: Path, files: ObjectFiles) -> None:
    path.mkdir()
    (path / "pods.json").write_text(listed("a"))
    (path / "events.log").write_text(event("ADDED", "b"))
    (path / ".hidden").write_text(listed("c"))
    (path / "folder").mkdir()
    assert told(files) == ["ADDED b", "ADDED a"]
    (path / "services.json").write_text(listed("d"))
    with (path / "events.log").open("a") as stream:
        stream.write(event("DELETED", "b"))
    assert told(files) == ["DELETED b", "ADDED d"]


def test_a_log_rotated_within_the_folder_is_not_read_again(path: Path, files: ObjectFiles) -> None:
    path.mkdir()
    log = path / "events.log"
    log.write_text(event("ADDED", "a") + event("ADDED", "b"))
    assert told(files) == ["ADDED a", "ADDED b"]
    log.rename(path / "events.log.1")
    log.write_text(event("DELETED", "a"))
    assert told(files) == ["DELETED a"]
    assert told(files) == []


def test_a_snapshot_replaced_again_and_again_is_remembered_within_a_bound(
    path: Path, files: ObjectFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing_file, "MAX_POSITIONS", 5)
    kept = []  # so that no inode is used twice
    for number in range(20):
        new = path.with_name(f"new-{number}")
        new.write_text(listed(f"team-{number}"))
        if path.exists():
            kept.append(path.open())
        new.replace(path)
        assert [change.object.meta.name for change in files.poll() if isinstance(change, Change)] == [f"team-{number}"]
    assert len(files._positions) == 5
    for one in kept:
        one.close()


def test_a_folder_of_too_many_files_says_so_once(path: Path, files: ObjectFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_files, "MAX_FILES", 2)
    path.mkdir()
    for name in "abc":
        (path / name).write_text(listed(name))
    assert told(files) == ["ADDED a", "ADDED b", "at most 2 files in a folder"]
    assert told(files) == []


def test_a_pipe_is_refused_without_waiting_for_its_writer(path: Path, files: ObjectFiles) -> None:
    os.mkfifo(path)
    assert told(files) == ["a file that can be read"]
    assert told(files) == []


def test_nothing_to_read_at_the_path_is_the_users_error(path: Path, files: ObjectFiles) -> None:
    with pytest.raises(UsageError, match="there is no such file or folder of Kubernetes objects"):
        files.check()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="not in a pipe or device"):
        files.check()
    path.unlink()
    path.write_text(listed("a"))
    files.check()
