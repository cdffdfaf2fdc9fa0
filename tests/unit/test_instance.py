# SPDX-License-Identifier: Apache-2.0
"""The state file by which commands find what runs, and whom they believe."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import instance
from flowgauge.runtime.instance import RUNTIME_DIR_VARIABLE, Instance

HERE = Instance(os.getpid(), "run", console_url="http://127.0.0.1:8055")


def test_what_was_published_is_found_until_it_is_withdrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUNTIME_DIR_VARIABLE, str(tmp_path / "made"))
    assert instance.find() is None
    assert not (tmp_path / "made").exists()  # looking makes nothing
    path = instance.publish(HERE)
    assert path.stat().st_mode & 0o777 == 0o644
    assert instance.find() == HERE
    instance.withdraw()
    assert instance.find() is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pid": 1, "kind": "run", "more": 1}', '{"pid": 999999999, "kind": "run"}'])
def test_a_file_that_is_none_or_of_a_dead_process_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv(RUNTIME_DIR_VARIABLE, str(tmp_path))
    (tmp_path / "instance.json").write_text(text)
    assert instance.find() is None


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(RUNTIME_DIR_VARIABLE, str(tmp_path / "file" / "below"))
    assert instance.find() is None
    with pytest.raises(EnvironmentProblem, match="cannot be used"):
        instance.publish(HERE)


@pytest.fixture
def everybodys() -> Iterator[Path]:
    """A folder below /tmp, as that of pytest is not, into which every user may look."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.root
def test_a_folder_that_somebody_else_made_first_is_not_believed(everybodys: Path) -> None:
    """In /tmp anybody may make another user's folder: what is in it could lead the user's token astray."""
    victim, attacker = 65_533, 65_534
    folder = everybodys / f"flowgauge-{victim}"
    folder.mkdir(mode=0o755)
    (folder / "instance.json").write_text(json.dumps(asdict(HERE)))
    for path in (folder / "instance.json", folder):
        os.chown(path, attacker, attacker)
    assert _as_user(victim, everybodys) == "None, refused"
    for path in (folder / "instance.json", folder):
        os.chown(path, victim, victim)
    assert _as_user(victim, everybodys) == f"{HERE.pid}, made"


def _as_user(uid: int, temporary: Path) -> str:
    """What that user finds, and whether the user's own folder can be used, with ``temporary`` as /tmp."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgid(uid)
        os.setuid(uid)
        for name in (RUNTIME_DIR_VARIABLE, "XDG_RUNTIME_DIR"):
            os.environ.pop(name, None)
        tempfile.tempdir = str(temporary)
        instance.SYSTEM_DIR = temporary / "none"
        found = instance.find()
        try:
            instance.user_dir()
            told = "made"
        except EnvironmentProblem:
            told = "refused"
        os.write(writing, f"{found.pid if found else None}, {told}".encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        return stream.read()
