# SPDX-License-Identifier: Apache-2.0
"""Real servers for tests: fetched once into a cache, started on free loopback ports, gone with whoever started them.

``get NAME`` prints the folder of a ready server, which it makes if it is not there; ``run NAME`` starts one, prints a line of
JSON (pid, ports, folder, log), and stops it at SIGTERM or when its standard input ends. Exit status 3 with one line on standard
error: this server cannot be had here, and why.

The cache is ``FLOWGAUGE_SERVER_CACHE``, else ``.cache/servers`` in the repository; its key is what the server is made of.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
UNAVAILABLE = 3
FETCH_S = 600
READY_S = 60
STOP_S = 15


class Unavailable(Exception):
    """This server cannot be had on this machine; the text says why."""


def cache_folder(name: str, *inputs: Path) -> Path:
    """Where the server ``name`` that is made of ``inputs`` is kept."""
    root = Path(os.environ.get("FLOWGAUGE_SERVER_CACHE") or HERE.parent.parent / ".cache" / "servers")
    key = hashlib.sha256(b"".join(one.read_bytes() for one in inputs)).hexdigest()[:16]
    return root / name / key


def made(folder: Path, make: Callable[[Path], None]) -> Path:
    """``folder``, made beside itself and moved there whole: two runs may race."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        make(draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def kafka() -> Path:
    """The folder with a broker's programs."""
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise Unavailable(f"kafka: no {program} here (Debian: apt-get install default-jre-headless maven)")
    pom = HERE / "kafka" / "pom.xml"

    def make(draft: Path) -> None:
        shutil.copy(pom, draft / "pom.xml")
        command = ["mvn", "-q", "-B", "-f", str(draft / "pom.xml"), "dependency:copy-dependencies", "-DincludeScope=runtime",
                   f"-DoutputDirectory={draft / 'lib'}"]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"kafka: Maven did not fetch it within {FETCH_S} s") from error
        if done.returncode:
            last = (done.stdout + done.stderr).strip().splitlines()
            raise Unavailable(f"kafka: Maven cannot fetch it: {last[0] if last else done.returncode}")

    return made(cache_folder("kafka", pom), make)


def run_kafka(folder: Path) -> None:
    """A broker with an empty log, until asked to stop."""
    with tempfile.TemporaryDirectory(prefix="flowgauge-kafka-") as place:
        here = Path(place)
        port, controller = _free_port(), _free_port()
        settings = (HERE / "kafka" / "server.properties").read_text(encoding="utf-8")
        for word, value in {"PORT": port, "CONTROLLER_PORT": controller, "DATA": here / "data"}.items():
            settings = settings.replace(f"@{word}@", str(value))
        (here / "server.properties").write_text(settings, encoding="utf-8")
        java = ["java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                f"-Dlog4j2.configurationFile=file:{HERE / 'kafka' / 'log4j2.properties'}",
                "-cp", f"{folder / 'lib'}/*"]  # fmt: skip
        identity = base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        properties = str(here / "server.properties")
        format_ = [*java, "kafka.tools.StorageTool", "format", "-t", identity, "-c", properties]
        subprocess.run(format_, check=True, capture_output=True)
        log = here / "server.log"
        with log.open("w") as out:
            server = subprocess.Popen(
                [*java, "kafka.Kafka", properties], stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            _until_listening(port, server, log)
            print(json.dumps({"pid": server.pid, "ports": {"kafka": port}, "folder": place, "log": str(log)}), flush=True)
            _until_told(server)
        finally:
            _end(server)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_listening(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    sys.exit(f"the server was not ready; its log ends:\n{''.join(log.read_text(errors='replace').splitlines(True)[-40:])}")


def _until_told(server: subprocess.Popen[bytes]) -> None:
    """Returns at SIGTERM, when standard input ends, or when the server does."""
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    threading.Thread(target=lambda: (sys.stdin.read(), told.set()), daemon=True).start()
    while not told.wait(0.2) and server.poll() is None:
        pass


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(STOP_S)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


SERVERS: dict[str, tuple[Callable[[], Path], Callable[[Path], None]]] = {"kafka": (kafka, run_kafka)}


def main() -> int:
    """``get NAME`` or ``run NAME``."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("get", "run") or sys.argv[2] not in SERVERS:
        print(f"usage: {Path(sys.argv[0]).name} get|run {'|'.join(SERVERS)}", file=sys.stderr)
        return 2
    get, run = SERVERS[sys.argv[2]]
    try:
        folder = get()
    except Unavailable as reason:
        print(reason, file=sys.stderr)
        return UNAVAILABLE
    if sys.argv[1] == "get":
        print(folder)
    else:
        run(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
