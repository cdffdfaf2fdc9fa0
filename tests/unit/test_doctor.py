# SPDX-License-Identifier: Apache-2.0
"""``flowgauge doctor``: a line for each thing, a remedy for what is missing, and exit statuses that scripts can rely on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flowgauge.agent.kernel_probes import EVERYTHING, Answer, can_observe
from flowgauge.config.model import Feature
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.signal_hooks import Support
from flowgauge.run import doctor
from flowgauge.run.doctor import Verdict


def run(*words: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-m", "flowgauge.cli.main", "doctor", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_every_line_that_is_not_well_says_what_to_do(tmp_path: Path) -> None:
    found = doctor.findings(tmp_path / "data")
    assert not [one for one in found if one.verdict is not Verdict.OK and not one.remedy]
    assert {"Python", "libbpf", "eBPF object", "capabilities", "port 2055/udp", "data folder"} <= {one.name for one in found}
    assert not (tmp_path / "data").exists()


def test_json_holds_what_the_lines_say(tmp_path: Path) -> None:
    done = run("--json", "--data-dir", str(tmp_path))
    folder = next(one for one in json.loads(done.stdout) if one["name"] == "data folder")
    assert done.returncode == 0
    assert folder["verdict"] == "ok"
    assert str(tmp_path) in folder["detail"]


def test_a_data_folder_that_cannot_be_is_a_failed_check(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("--data-dir", str(tmp_path / "file/data"))
    assert done.returncode == 1
    assert "FAIL  data folder" in done.stdout
    assert "cannot be written" in done.stdout
    assert "→ give run and store --data-dir" in done.stdout


@pytest.mark.root
def test_without_capabilities_no_hook_can_be_told_and_nothing_can_be_observed() -> None:
    done = run("--kernel", "--json", prefix=("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"))
    found = {one["hook"]: one for one in json.loads(done.stdout)}
    assert done.returncode == 1
    assert {found[hook]["support"] for hook in ("bpf(2)", "TCX hooks", "clsact filters")} == {"could not tell"}
    assert "CAP_BPF" in found["TCX hooks"]["detail"]
    assert all(one["without"] and one["since"] for one in found.values())


@pytest.mark.bpf
def test_every_hook_of_this_kernel_is_told() -> None:
    done = run("--kernel", "--json")
    found = {one["hook"]: one["support"] for one in json.loads(done.stdout)}
    assert done.returncode == 0, done.stderr
    assert {"TCX hooks", "clsact filters", "packet socket with a ring"} <= found.keys()
    assert found["flow program"] == "available"
    features = {feature.value for feature in Feature} - {"nat", "rttHistogram"} | {"tunnels"}
    assert {f"signal {name}" for name in features} <= found.keys()


@pytest.mark.bpf
def test_what_doctor_tries_is_all_that_an_agent_can_be_told_to_measure() -> None:
    program = FlowProgram(EVERYTHING)
    program.load()
    off = [name for name, state in program.features().items() if state == "off"]
    program.close()
    assert not off


@pytest.mark.parametrize(
    ("there", "possible"),
    [
        ({"flow program", "clsact filters"}, True),
        ({"packet socket with a ring"}, True),
        ({"flow program"}, False),
        ({"TCX hooks", "clsact filters"}, False),
        (set(), False),
    ],
)
def test_an_agent_can_observe_with_a_program_and_a_hook_or_with_a_packet_socket(*, there: set[str], possible: bool) -> None:
    hooks = ("flow program", "TCX hooks", "clsact filters", "packet socket with a ring")
    answers = [Answer(hook, "1", "x", Support.AVAILABLE if hook in there else Support.NOT_SUPPORTED) for hook in hooks]
    assert can_observe(answers) is possible
