# SPDX-License-Identifier: Apache-2.0
"""What this machine must have for the demo, checked before anything is made; each lack is one sentence with its remedy."""

from __future__ import annotations

import importlib.util
import shutil

from flowgauge.agent import privileges
from flowgauge.demo import database
from flowgauge.ebpf.bpf_syscall import probe_load
from flowgauge.ebpf.parts import OBJECT
from flowgauge.errors import EnvironmentProblem

_TOOLS = {
    "ip": "iproute2",
    "nstat": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "dnsmasq": "dnsmasq-base",
}
"""Program → Debian package."""
_MODULES = ("django", "gunicorn", "psycopg")
_NOTHING = "nothing was started"


def require() -> None:
    """Raises EnvironmentProblem that names what is missing; root is called who may be so only in a user namespace, too."""
    if lacking := privileges.missing(privileges.effective(), netns=True):
        raise EnvironmentProblem(
            f"the demo makes network namespaces and loads eBPF programs, which needs {', '.join(lacking)}; {_NOTHING}: "
            "run it on a machine or in a container that has them (docker run --privileged)"
        )
    packages = {package for tool, package in _TOOLS.items() if not shutil.which(tool)}
    if database.programs() is None:
        packages.add("postgresql")
    if packages:
        raise EnvironmentProblem(
            f"the demo needs programs that are not installed; {_NOTHING}: "
            f"apt-get install --no-install-recommends {' '.join(sorted(packages))}"
        )
    if modules := [name for name in _MODULES if importlib.util.find_spec(name) is None]:
        raise EnvironmentProblem(
            f"the demo needs the Python packages {', '.join(modules)}; {_NOTHING}: pip install 'flowgauge[demo]'"
        )


def without_quic() -> str:
    """What the scene lacks where QUIC's library is not installed, in a sentence; empty where it is."""
    if importlib.util.find_spec("aioquic") is not None:
        return ""
    return "the scene speaks TLS but no QUIC: the Python package aioquic is not installed (pip install 'flowgauge[demo]')"


def without_ebpf() -> str:
    """Why agents will not be able to load eBPF programs, in a sentence; empty when they will."""
    if not OBJECT.exists():
        return f"the eBPF object {OBJECT.name} is not built (`make bpf`, needs clang)"
    return "" if probe_load() else "this kernel refuses eBPF programs to us (bpf(2))"
