# SPDX-License-Identifier: Apache-2.0
"""Containers and pods by the names that the kubelet and container runtimes give to control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowgauge.agent.containers import NOBODY, Container, Containers, container_of

ID = "3f2a" * 16
SHORT = ID[:12]
UID = "8d1c2f1e-5f3a-4c58-9b1c-2f60a1d7e9b0"
UID_SYSTEMD = UID.replace("-", "_")
STATIC = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID_SYSTEMD}.slice/cri-containerd-{ID}.scope",
         Container(SHORT, UID)),
        (f"kubepods.slice/kubepods-pod{UID_SYSTEMD}.slice/crio-{ID}.scope", Container(SHORT, UID)),
        (f"kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{UID_SYSTEMD}.slice/docker-{ID}.scope",
         Container(SHORT, UID)),
        (f"kubepods/burstable/pod{UID}/{ID}", Container(SHORT, UID)),
        (f"kubepods/besteffort/pod{UID}/crio-{ID}", Container(SHORT, UID)),
        (f"kubepods/burstable/pod{STATIC}/{ID}", Container(SHORT, STATIC)),
        (f"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{UID_SYSTEMD}.slice/cri-containerd-{ID}.scope/init.scope",
         Container(SHORT, UID)),
        (f"kubepods/pod{UID}", Container("", UID)),
        (f"system.slice/docker-{ID}.scope", Container(SHORT, "")),
        (f"docker/{ID}", Container(SHORT, "")),
        (f"machine.slice/libpod-{ID}.scope/container", Container(SHORT, "")),
        ("system.slice/postgresql@15-main.service", NOBODY),
        ("user.slice/user-1000.slice/session-2.scope", NOBODY),
        (f"system.slice/podman-{ID[:30]}.scope", NOBODY),
        (".", NOBODY),
    ],
)  # fmt: skip
def test_paths_of_each_driver_and_runtime(path: str, expected: Container) -> None:
    assert container_of(path) == expected


def test_control_groups_are_found_by_their_number_also_new_ones_and_those_that_are_gone(tmp_path: Path) -> None:
    first = tmp_path / f"kubepods/burstable/pod{UID}/{ID}"
    first.mkdir(parents=True)
    containers = Containers(tmp_path)
    number = first.stat().st_ino
    assert containers.find([number, 1, number]) == [Container(SHORT, UID), NOBODY, Container(SHORT, UID)]
    second = tmp_path / f"docker/{'b' * 64}"
    second.mkdir(parents=True)
    first.rmdir()
    assert containers.find([second.stat().st_ino]) == [Container("b" * 12)]
    assert containers.find([number]) == [Container(SHORT, UID)]


def test_where_there_are_no_control_groups_nobody_is_found(tmp_path: Path) -> None:
    assert Containers(tmp_path / "missing").find([7]) == [NOBODY]
