# SPDX-License-Identifier: Apache-2.0
"""A namespace's name: what it led to stays what is observed, and is told from what the name leads to later."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowgauge.agent.namespace import Namespace
from flowgauge.errors import EnvironmentProblem

OWN, ANOTHER = "/proc/self/ns/net", "/proc/self/ns/uts"


@pytest.fixture
def name(tmp_path: Path) -> Path:
    """A name for the namespace that the tests run in."""
    made = tmp_path / "node-a"
    made.symlink_to(OWN)
    return made


def test_it_stays_what_it_was_while_the_name_goes(name: Path) -> None:
    namespace = Namespace(str(name))
    namespace.require()
    name.unlink()
    with pytest.raises(EnvironmentProblem, match=rf"^the network namespace {name} is gone; "):
        namespace.require()
    assert Path(namespace.path).samefile(OWN)
    namespace.close()
    namespace.close()
    assert namespace.path == str(name)


def test_another_one_of_its_name_is_not_it(name: Path) -> None:
    namespace = Namespace(str(name))
    name.unlink()
    name.symlink_to(ANOTHER)
    with pytest.raises(EnvironmentProblem, match=" is another one now; "):
        namespace.require()
    name.unlink()
    name.symlink_to(OWN)
    namespace.require()


@pytest.mark.parametrize("name", ["", "no-such"])
def test_there_is_nothing_to_lose(name: str) -> None:
    namespace = Namespace(name)
    namespace.require()
    assert namespace.path == name
