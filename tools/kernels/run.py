# SPDX-License-Identifier: Apache-2.0
"""Runs ``guest.py`` on Debian's 6.1 kernel: the eBPF object of this tree, on a kernel that it was not built on.

The kernel comes from Debian's package, the rest of the guest from this machine: one archive in memory with the interpreter, the
modules that ``guest.py`` imports and ``ip``. QEMU emulates the processor (no KVM needed), so it takes minutes.

Exit status: 0; 1 the test failed; 3 something is missing here, in one sentence.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from initramfs import Archive, shared_libraries

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "kernels"
PACKAGE = "linux-image-amd64"
"""Not the smaller one for clouds, which has no PPP."""
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "busybox": "busybox-static",
    "dpkg-deb": "dpkg",
    "apt-get": "apt",
    "ip": "iproute2",
    "ss": "iproute2",
    "pppd": "ppp",
}
MODULES = (
    "veth", "sch_ingress", "cls_bpf", "vxlan", "geneve", "ip_gre", "ipip", "ip6_tunnel", "ip6_gre", "wireguard", "8021q",
    "tun", "ppp_async", "pppoe",
)  # fmt: skip
KERNEL_WORDS = "console=ttyS0 quiet panic=-1 no_timer_check"
"""Without the check, which a busy machine fails: an emulated timer may be late."""
PROCESSOR = "Nehalem"
"""Without AVX2: as QEMU 7.2 emulates it, numpy did not find keys again that were there."""
LIBRARIES = ("libbpf.so.1",)
INSIDE = ("ip", "ss", "pppd")
"""Programs of this machine that the guest has."""
PASSED = "kernel test: passed"

INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mkdir -p /dev/pts /etc/ppp
/bin/busybox mount -t devpts pts /dev/pts
/bin/busybox mount -t cgroup2 cgroup /sys/fs/cgroup
/bin/busybox ln -s /bin/busybox /usr/bin/unshare
/bin/busybox mount -t tmpfs run /run
/bin/busybox mount -t tmpfs tmp /tmp
for module in {modules}; do /bin/busybox insmod $module || echo "module $module was not loaded"; done
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH={path} PYTHONDONTWRITEBYTECODE=1 HOME=/tmp OPENBLAS_NUM_THREADS=1
export FLOWGAUGE_GUEST=1
{python} {guest} {scenes}
/bin/busybox poweroff -f
"""


class Missing(Exception):
    """Something that this machine lacks; the message is one sentence."""


def require() -> None:
    """Raises Missing for what must be installed or built first."""
    absent = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    if absent:
        raise Missing(f"not installed: apt-get install --no-install-recommends {' '.join(absent)}")
    if not (ROOT / "src/flowgauge/ebpf/flows.bpf.o").exists():
        raise Missing("the eBPF object is not built: make bpf")


def kernel_package() -> Path:
    """The newest 6.1 kernel's package file, downloaded unless it is cached."""
    asked = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True, check=False).stdout
    names = [line.split()[-1] for line in asked.splitlines() if "Depends: linux-image-" in line]
    if not names:
        raise Missing(f"no package {PACKAGE}: run apt-get update, or use Debian 12's package sources")
    CACHE.mkdir(parents=True, exist_ok=True)
    cached = sorted(CACHE.glob(f"{names[0]}_*.deb"))
    if not cached:
        print(f"downloading {names[0]} (71 MB)", flush=True)
        done = subprocess.run(["apt-get", "download", names[0]], cwd=CACHE, capture_output=True, text=True, check=False)
        cached = sorted(CACHE.glob(f"{names[0]}_*.deb"))
        if not cached:
            raise Missing(f"{names[0]} could not be downloaded: {done.stderr.strip().splitlines()[-1]}")
    return cached[-1]


def unpacked(package: Path) -> Path:
    """The folder with the package's files."""
    folder = package.with_suffix("")
    if not (folder / "boot").is_dir():
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True)
    return folder


def modules(kernel: Path) -> list[Path]:
    """The files of ``MODULES`` and of what each needs, in loading order (modules.dep is made by depmod; here by modinfo)."""
    files = {path.stem.replace("-", "_"): path for path in kernel.rglob("*.ko")}
    ordered: list[Path] = []

    def add(name: str) -> None:
        path = files.get(name.replace("-", "_"))
        if path is None or path in ordered:
            return
        for needed in _needs(path):
            add(needed)
        ordered.append(path)

    for name in MODULES:
        add(name)
    return ordered


def _needs(module: Path) -> list[str]:
    """The field ``depends`` of a module's .modinfo section."""
    data = module.read_bytes()
    at = data.find(b"\0depends=")
    found = data[at + 9 : data.index(b"\0", at + 9)].decode() if at >= 0 else ""
    return [name for name in found.split(",") if name]


def build(kernel: Path, archive: Path, scenes: list[str]) -> None:
    """Writes the guest's root file system."""
    imported = subprocess.run(
        [sys.executable, str(HERE / "imported.py"), str(HERE / "guest.py")], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}:{HERE}"},
    ).stdout.splitlines()  # fmt: skip
    python = Path(sys.executable).resolve()
    tools = {name: Path(shutil.which(name) or "").resolve() for name in INSIDE}
    plugins = [*Path("/usr/lib/pppd").glob("*/rp-pppoe.so")]
    binaries = {python, *tools.values(), *plugins, *(Path(name) for name in imported if name.endswith(".so") or ".so." in name)}
    with Archive(archive) as out:
        for folder in ("proc", "sys", "dev", "run", "tmp", "etc"):
            out.folder(Path("/", folder))
        for name in imported:
            out.copy(Path(name))
        for path in {*binaries, *shared_libraries(binaries, LIBRARIES)}:
            out.copy(path)
        for path in (ROOT / "src/flowgauge").rglob("*"):
            if path.is_file() and not {"static", "__pycache__"} & {*path.parts}:
                out.copy(path)
        for path in HERE.glob("guest*.py"):
            out.copy(path)
        for name, tool in tools.items():
            out.file(Path("/usr/bin", name), tool.read_bytes(), 0o755)
        out.file(Path("/bin/busybox"), Path(shutil.which("busybox") or "").read_bytes(), 0o755)
        inside = [Path("/modules", path.name) for path in modules(kernel)]
        for source, target in zip(modules(kernel), inside, strict=True):
            out.file(target, source.read_bytes(), 0o644)
        path = ":".join(
            str(folder) for folder in (ROOT / "src", ROOT / "tests", HERE, *(p for p in sys.path if p.endswith("-packages")))
        )
        text = INIT.format(modules=" ".join(map(str, inside)), path=path, python=python, guest=HERE / "guest.py",
                           scenes=" ".join(scenes))  # fmt: skip
        out.file(Path("/init"), text.encode(), 0o755)


def boot(kernel: Path, archive: Path, within_s: float) -> bool:
    """Runs the guest, printing what it says; whether its test passed."""
    image = next((kernel / "boot").glob("vmlinuz-*"))
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", PROCESSOR, "-smp", "2", "-m", "1536", "-nographic",
        "-no-reboot", "-nic", "none", "-kernel", str(image), "-initrd", str(archive), "-append", KERNEL_WORDS,
    ]  # fmt: skip
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace") as guest:
        killer = subprocess.Popen(["sh", "-c", f"sleep {within_s}; kill {guest.pid}"], start_new_session=True)
        passed = False
        for line in guest.stdout or ():
            print("  |", line.rstrip(), flush=True)
            passed |= PASSED in line
        killer.kill()
        killer.wait()
    return passed


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--within", type=float, default=1800, metavar="SECONDS", help="give up after so long (default: 1800)")
    parser.add_argument("scenes", nargs="*", help="pods, signals, loopback, layer3, clock, vlans, tunnels (default: all)")
    arguments = parser.parse_args()
    try:
        require()
        kernel = unpacked(kernel_package())
        archive = CACHE / "guest.cpio"
        build(kernel, archive, arguments.scenes)
    except Missing as lacking:
        print(f"test-kernels: {lacking}", file=sys.stderr)
        return 3
    print(f"booting {next((kernel / 'boot').glob('vmlinuz-*')).name}, {archive.stat().st_size >> 20} MB of files", flush=True)
    return 0 if boot(kernel, archive, arguments.within) else 1


if __name__ == "__main__":
    sys.exit(main())
