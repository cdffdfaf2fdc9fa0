# SPDX-License-Identifier: Apache-2.0
"""The collectors that are compared, ours among them: how each is started, told to end, and asked what it received.

All listen on one UDP socket of loopback with their default number of workers. Rivals do what they do at their cheapest:
goflow2 protobuf to /dev/null, nfcapd and sfcapd plain files, pmacct a sum by protocol in memory.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from flowgauge import __version__
from rivals_kit.processes import DEFAULT_BUFFER, LARGEST_BUFFER, free_port, kernel_buffer_bytes, listens

BUFFER_BYTES = 4 << 20
"""Receive buffer that all ask for that can."""


class Collector(ABC):
    """One collector.

    Args:
        folder: empty, its own.
        kind: input that it is to get.

    Attributes:
        counts_at_end: it tells what it has received only when it has ended.
        works_at_end: its end belongs to its work (what is left is written): CPU time is taken after it.
        buffer_bytes: of its socket.
    """

    name = ""
    install = ""
    stop_signal = signal.SIGTERM
    counts_at_end = works_at_end = True

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind, self.port = folder, kind, free_port()
        self.buffer_bytes = min(BUFFER_BYTES, kernel_buffer_bytes(LARGEST_BUFFER))

    @classmethod
    @abstractmethod
    def program(cls, kind: str) -> str | None:
        """Where it is installed, None if it is not."""

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """What it calls itself."""

    @abstractmethod
    def command(self) -> list[str]:
        """How to start it."""

    def listens(self) -> bool:
        """Whether it has opened its port."""
        return listens(self.port)

    @abstractmethod
    def flows(self) -> int:
        """How many flows it says to have received."""

    def complaint(self) -> str:
        """What else it says that was lost."""
        return ""


class Flowgauge(Collector):
    """Ours: received and decoded to columns, with sequence numbers, times and sampling rates."""

    name = "flowgauge"
    works_at_end = False

    @classmethod
    def program(cls, kind: str) -> str | None:  # noqa: ARG003 - one for all
        """This Python."""
        return sys.executable

    @classmethod
    def version(cls) -> str:
        """Of the package."""
        return __version__

    def command(self) -> list[str]:
        """Our receive path."""
        return [sys.executable, "-m", "rivals_kit.ours", "UDP", str(self.port), str(BUFFER_BYTES), str(self.folder / "count")]

    def flows(self) -> int:
        """Rows of columns."""
        return int(self._said()[0])

    def complaint(self) -> str:
        """What the ledger names."""
        lost = int(self._said()[1])
        return f"the ledger names {lost}" if lost else ""

    def _said(self) -> list[str]:
        return (self.folder / "count").read_text(encoding="ascii").split()


class Nfdump(Collector):
    """nfcapd and sfcapd of nfdump: a plain file."""

    name = "nfcapd"
    install = "Debian: apt install nfdump nfdump-sflow"

    @classmethod
    def program(cls, kind: str) -> str | None:
        """Needs nfdump to count, too."""
        return shutil.which("sfcapd" if kind == "sflow" else "nfcapd") if shutil.which("nfdump") else None

    @classmethod
    def version(cls) -> str:
        """As ``nfdump -V`` has it."""
        return _first_number(["nfdump", "-V"])

    def command(self) -> list[str]:
        """One file for the whole run."""
        program = str(self.program(self.kind))
        return [
            program,
            "-p",
            str(self.port),
            "-b",
            "127.0.0.1",
            "-w",
            str(self.folder),
            "-t",
            "86400",
            "-B",
            str(self.buffer_bytes),
        ]

    def flows(self) -> int:
        """Of all files, by nfdump."""
        return sum(self._in_file(path) for path in self.folder.glob("?fcapd.*"))

    @staticmethod
    def _in_file(path: Path) -> int:
        said = subprocess.run(["nfdump", "-I", "-r", str(path)], capture_output=True, text=True, check=False).stdout
        found = re.search(r"^Flows: (\d+)", said, re.MULTILINE)
        return int(found[1]) if found else 0


class Pmacct(Collector):
    """nfacctd and sfacctd of pmacct: received, decoded, summed by protocol."""

    name = "pmacct"
    install = "Debian: apt install pmacct"
    stop_signal = signal.SIGINT

    @classmethod
    def program(cls, kind: str) -> str | None:
        """One daemon for NetFlow and IPFIX, one for sFlow."""
        return shutil.which("sfacctd" if kind == "sflow" else "nfacctd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

    @classmethod
    def version(cls) -> str:
        """As ``nfacctd -V`` has it."""
        return _first_number([str(cls.program("ipfix")), "-V"])

    def command(self) -> list[str]:
        """With a file of settings."""
        daemon = "sfacctd" if self.kind == "sflow" else "nfacctd"
        settings = {
            "daemonize": "false", f"{daemon}_ip": "127.0.0.1", f"{daemon}_port": self.port,
            f"{daemon}_pipe_size": self.buffer_bytes, f"{daemon}_disable_checks": "true", "plugins": "print[sum]",
            "aggregate[sum]": "proto, flows", "print_output": "csv", "print_output_file[sum]": self.folder / "out",
            "print_refresh_time": 3600, "print_cache_entries[sum]": 101, "plugin_pipe_size": 128 << 20,
            "plugin_buffer_size": 128 << 10,
        }  # fmt: skip
        path = self.folder / "settings"
        path.write_text("".join(f"{name}: {value}\n" for name, value in settings.items()), encoding="ascii")
        return [str(self.program(self.kind)), "-f", str(path)]

    def flows(self) -> int:
        """The sum of its sums."""
        total = 0
        for path in self.folder.glob("out*"):
            head, *rows = [line.split(",") for line in path.read_text(encoding="ascii").splitlines() if line]
            total += sum(int(row[head.index("FLOWS")]) for row in rows)
        return total


class Goflow2(Collector):
    """goflow2: protobuf to /dev/null, without separators, which would cost a system call each."""

    name = "goflow2"
    install = "Go: go install github.com/netsampler/goflow2/v2/cmd/goflow2@latest"
    counts_at_end = works_at_end = False

    def __init__(self, folder: Path, kind: str) -> None:
        super().__init__(folder, kind)
        self.buffer_bytes = kernel_buffer_bytes(DEFAULT_BUFFER)  # it asks for none
        self._http = free_port()
        self._told = ""

    @classmethod
    def program(cls, kind: str) -> str | None:  # noqa: ARG003 - one for all
        """In the path, or where ``go install`` puts it."""
        places = [os.environ.get("PATH", ""), os.environ.get("GOBIN", ""), str(Path.home() / "go/bin")]
        return shutil.which("goflow2", path=":".join(filter(None, places)))

    @classmethod
    def version(cls) -> str:
        """Of the module it was built from, as ``go version -m`` reads it, where Go is installed."""
        if shutil.which("go") is None:
            return "?"
        told = subprocess.run(["go", "version", "-m", str(cls.program(""))], capture_output=True, text=True, check=False).stdout
        found = re.search(r"^\s+mod\s+\S+\s+v(\S+)", told, re.MULTILINE)
        return found[1] if found else "?"

    def command(self) -> list[str]:
        """NetFlow and IPFIX have one scheme, sFlow another."""
        scheme = "sflow" if self.kind == "sflow" else "netflow"
        to_nowhere = ["-format", "bin", "-transport.file", "/dev/null", "-transport.file.sep", ""]
        port, metrics = f"{scheme}://127.0.0.1:{self.port}", f"127.0.0.1:{self._http}"
        return [str(self.program(self.kind)), "-listen", port, *to_nowhere, "-addr", metrics, "-loglevel", "error"]

    def flows(self) -> int:
        """By its metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._http}/metrics", timeout=20) as answer:
            self._told = answer.read().decode()
        if self.kind == "sflow":
            return self._metric("goflow2_flow_process_sf_samples_total", 'type="FlowSample"')
        records = self._metric("goflow2_flow_process_nf_flowset_records_total", 'type="DataFlowSet"')
        return records + self._metric("goflow2_flow_process_nf_flowset_total", 'version="5"')

    def complaint(self) -> str:
        """Its errors: a template that two workers learned at once is forgotten again, data without it are errors."""
        errors = self._metric("goflow2_flow_process_nf_errors_total") + self._metric("goflow2_flow_decoder_error_total")
        return f"{errors} errors of its own" if errors else ""

    def _metric(self, name: str, label: str = "") -> int:
        lines = (line for line in self._told.splitlines() if line.startswith(name) and label in line)
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in lines)


RIVALS: Mapping[str, type[Collector]] = {one.name: one for one in (Goflow2, Nfdump, Pmacct)}


def _first_number(command: list[str]) -> str:
    """The first version number that a program says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+(\.\d+)?\S*", done.stdout + done.stderr)
    return found[0].rstrip(",") if found else "?"
