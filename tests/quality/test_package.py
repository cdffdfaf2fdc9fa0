# SPDX-License-Identifier: Apache-2.0
"""What is shipped is complete: the wheel holds what is built, runs by itself, and its lists of requirements agree."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from flowgauge import __version__

ROOT = Path(__file__).parents[2]
GIVEN = ROOT / "tests/golden/config/given/in.yaml"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(target), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(target.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_the_ebpf_object_the_console_and_the_demo(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"flowgauge/ebpf/flows.bpf.o", "flowgauge/console/static/app/index.html"} <= names, "run: make bpf ui"
    assert "flowgauge/demo/site/templates/index.html" in names
    assert any(name.startswith("flowgauge/console/static/app/assets/") for name in names)
    assert not [name for name in names if "test" in name.lower().split("/")[0] or name.endswith((".pyc", ".tsx"))]
    licences = {name.rpartition("/")[2] for name in names if "/licenses/" in name}
    assert licences >= {"LICENSE", "Apache-2.0.txt", "BSD-2-Clause.txt", "GPL-2.0.txt"}


@pytest.mark.slow
def test_the_wheel_runs_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    """Its requirements are lent by this environment, through a path that only adds them behind the wheel's own."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", str(wheel)], check=True, timeout=120)
    purelib = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(purelib, capture_output=True, text=True, check=True).stdout.strip()
    (Path(site) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = tmp_path / "venv/bin/flowgauge"

    def run(*arguments: str) -> str:
        return subprocess.run(
            [command, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
        ).stdout

    assert run("--version") == f"flowgauge {__version__}\n"
    assert "valid, 1 thing this build cannot do yet" in run("config", "check", str(GIVEN))
    where = subprocess.run([python, "-c", "import flowgauge; print(flowgauge.__file__)"], capture_output=True, text=True,
                           cwd=tmp_path, check=True).stdout  # fmt: skip
    assert where.startswith(str(tmp_path))


def test_requirements_of_the_wheel_are_those_that_are_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(project["dependencies"]) == set((ROOT / "requirements/runtime.in").read_text().split("\n")) - {""}
    demo = {line for line in (ROOT / "requirements/demo.in").read_text().splitlines() if line and not line.startswith("-c")}
    assert set(project["optional-dependencies"]["demo"]) == demo


@pytest.mark.parametrize("name", ["runtime", "demo", "dev", "node"])
def test_every_requirement_is_locked(name: str) -> None:
    wanted = {
        re.split(r"[\[<>=~!]", line)[0].lower()
        for line in (ROOT / f"requirements/{name}.in").read_text().splitlines()
        if line and not line.startswith(("-", "#"))
    }
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / f"requirements/{name}.txt").read_text(), re.MULTILINE))
    held_elsewhere = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements/runtime.txt").read_text(), re.MULTILINE))
    assert wanted <= locked | held_elsewhere
