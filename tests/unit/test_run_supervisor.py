# SPDX-License-Identifier: Apache-2.0
"""The supervisor on real processes: order, readiness, restart after kill -9, last words, secrets, nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flowgauge.errors import EnvironmentProblem
from flowgauge.run import process
from flowgauge.run import supervisor as supervisor_module
from flowgauge.run.part import Part, State, free_port
from flowgauge.run.supervisor import Supervisor

SERVER = """
import http.server, sys, time
time.sleep(float(sys.argv[2]))
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""


LATE = """
import http.server, socket, sys, time
time.sleep(0.5)
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *a): pass
class S(http.server.HTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
S((sys.argv[1], int(sys.argv[2])), H).serve_forever()
"""


def server(name: str, delay_s: float = 0.0) -> Part:
    port = free_port()
    return Part(name, (sys.executable, "-c", SERVER, str(port), str(delay_s)), ready_url=f"http://127.0.0.1:{port}/")


def eventually(condition: object, timeout_s: float = 90.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_part_waits_until_the_one_before_it_is_ready(tmp_path: Path) -> None:
    seen: list[tuple[str, State]] = []
    supervisor = Supervisor([server("first", 0.3), server("second")], tmp_path, lambda s: seen.append((s.name, s.state)))
    supervisor.start()
    try:
        assert supervisor.ready()
        assert seen.index(("first", State.READY)) < seen.index(("second", State.STARTING))
    finally:
        supervisor.stop()
    assert [status.state for status in supervisor.status()] == [State.STOPPED, State.STOPPED]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "127.0.0.9"])
def test_who_asks_whether_a_part_is_ready_makes_no_connection_that_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Our own agent counts refused connections as a trouble of the machine."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind((host, 0))
        port = place.getsockname()[1]
        part = Part(
            "late",
            (sys.executable, "-c", LATE, host, str(port)),
            ready_url=f"http://{f'[{host}]' if ':' in host else host}:{port}/",
        )
        answers: list[str] = []
        really = urllib.request.urlopen

        def watched(url: str, **rest: Any) -> Any:
            try:
                found = really(url, **rest)
            except OSError as error:
                answers.append(str(error))
                raise
            answers.append("answered")
            return found

        monkeypatch.setattr(urllib.request, "urlopen", watched)
        supervisor = Supervisor([part], tmp_path)
        supervisor.start()
        supervisor.stop()
    assert answers[-1] == "answered"
    assert not [answer for answer in answers if "refused" in answer]


def test_a_killed_part_comes_back_with_a_new_process(tmp_path: Path) -> None:
    supervisor = Supervisor([server("only")], tmp_path)
    supervisor.start()
    try:
        first = supervisor.pid("only")
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: supervisor.pid("only") not in (0, first) and supervisor.ready())
        assert supervisor.status()[0].restarts == 1
    finally:
        supervisor.stop()


def test_a_user_error_is_not_retried_and_its_last_words_are_told(tmp_path: Path) -> None:
    part = Part(
        "bad", (sys.executable, "-c", "import sys; print('no such port'); sys.exit(2)"), ready_url="http://127.0.0.1:1/"
    )
    with pytest.raises(EnvironmentProblem, match="bad ended with status 2: no such port"):
        Supervisor([part], tmp_path).start()


def test_a_part_that_never_answers_is_named(tmp_path: Path) -> None:
    part = Part("mute", (sys.executable, "-c", "import time; time.sleep(60)"), ready_url=f"http://127.0.0.1:{free_port()}/")
    supervisor = Supervisor([part], tmp_path)
    with pytest.raises(EnvironmentProblem, match="mute was not ready after 0 s"):
        supervisor.start(timeout_s=0.3)
    assert supervisor.pid("mute") == 0


def test_of_a_part_that_dies_again_and_again_it_is_said_how_while_the_next_one_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The patience is over as soon as the next one runs."""
    once, again = tmp_path / "once", tmp_path / "again"
    program = (
        "import pathlib, sys, time; once, again = map(pathlib.Path, sys.argv[1:])\n"
        "if once.exists(): again.touch(); time.sleep(60)\n"
        "once.touch(); sys.exit('the table is missing')"
    )
    part = Part("frail", (sys.executable, "-c", program, str(once), str(again)), ready_url=f"http://127.0.0.1:{free_port()}/")
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + 90 * again.exists())
    monkeypatch.setattr(supervisor_module, "time", clock)
    with pytest.raises(EnvironmentProblem, match=r"frail was not ready after 90 s\n.*the table is missing"):
        Supervisor([part], tmp_path).start(timeout_s=90)


REFUSED = """
import http.server, os, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        waits = os.path.exists(sys.argv[2])
        self.send_response(503 if waits else 200)
        self.end_headers()
        self.wfile.write(b"not ready: collector-a refuses us; renew the certificate" if waits else b"ready")
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), H).serve_forever()
"""


def refused(mark: Path, *, optional: bool = False) -> Part:
    """A part that is refused something as long as ``mark`` is there."""
    mark.touch()
    port = free_port()
    argv = (sys.executable, "-c", REFUSED, str(port), str(mark))
    return Part("agent", argv, ready_url=f"http://127.0.0.1:{port}/", asked_again=True, optional=optional)


def test_a_part_that_is_refused_something_ends_the_start_with_its_sentence(tmp_path: Path) -> None:
    """Long before it would count as not ready in time."""
    with pytest.raises(EnvironmentProblem) as problem:
        Supervisor([refused(tmp_path / "mark"), server("last")], tmp_path).start(timeout_s=600)
    assert str(problem.value) == "agent: collector-a refuses us; renew the certificate"


def test_an_optional_part_that_is_refused_something_keeps_nobody_waiting_and_is_ready_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_ASK_AGAIN_S", 0.1)
    mark, told = tmp_path / "mark", []
    supervisor = Supervisor(
        [refused(mark, optional=True), server("last")], tmp_path, lambda status: told.append((status.state, status.refused))
    )
    supervisor.start()
    status = supervisor.status()[0]
    try:
        assert (State.STARTING, "collector-a refuses us; renew the certificate") in told
        assert status.state is State.STARTING
        mark.unlink()
        assert eventually(lambda: (status.state, status.refused) == (State.READY, ""))
        mark.touch()
        assert eventually(lambda: status.refused != "")
        assert (status.state, told[-1]) == (State.READY, (State.READY, "collector-a refuses us; renew the certificate"))
    finally:
        supervisor.stop()


def test_who_asks_whether_a_part_is_ready_takes_no_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for a moment: somebody else may want it in just that one."""
    part = server("late", 0.3)

    def bind(*_: object) -> None:
        raise AssertionError("somebody binds")

    monkeypatch.setattr(socket.socket, "bind", bind, raising=False)
    supervisor = Supervisor([part], tmp_path)
    supervisor.start()
    try:
        assert supervisor.ready()
    finally:
        supervisor.stop()


def test_a_secret_reaches_the_child_and_neither_arguments_nor_environment(tmp_path: Path) -> None:
    program = "import os, sys, time; print(os.read(int(sys.argv[2]), 100).decode(), flush=True); time.sleep(60)"
    supervisor = Supervisor([Part("keeper", (sys.executable, "-c", program), secrets={"--secret-fd": "tell-nobody"})], tmp_path)
    supervisor.start()
    try:
        assert eventually(lambda: "tell-nobody" in (tmp_path / "keeper.log").read_text())
        proc = Path(f"/proc/{supervisor.pid('keeper')}")
        assert b"tell-nobody" not in (proc / "cmdline").read_bytes()
        assert b"tell-nobody" not in (proc / "environ").read_bytes()
    finally:
        supervisor.stop()


def test_parts_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    program = f"""
import sys, time; from pathlib import Path
from flowgauge.run.part import Part
from flowgauge.run.supervisor import Supervisor
s = Supervisor([Part("child", (sys.executable, "-c", "import time; time.sleep(60)"))], Path({str(tmp_path)!r}))
s.start(); print(s.pid("child"), flush=True); time.sleep(60)
"""
    read_end, write_end = os.pipe()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", program], os.environ,
                         file_actions=[(os.POSIX_SPAWN_DUP2, write_end, 1)])  # fmt: skip
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        child = int(stream.readline())
    # From then on it has asked the kernel for the signal: setpriv does so before it becomes the program.
    assert eventually(lambda: b"time.sleep" in Path(f"/proc/{child}/cmdline").read_bytes().split(b"--", 2)[0])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert eventually(lambda: not _alive(child))


def _alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_each_part_drains_into_those_before_it_that_still_run(tmp_path: Path) -> None:
    """The later part writes its last words into a file that only the earlier, while it runs, copies to its own log."""
    program = """
import os, signal, sys, time
box, name, slow = sys.argv[1], sys.argv[2], float(sys.argv[3])
def end(*_):
    time.sleep(slow)
    if name == "second": open(box, "w").write("drained")
    else: print(open(box).read() if os.path.exists(box) else "missing", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
while True: time.sleep(0.1)
"""
    box = str(tmp_path / "box")
    parts = [Part(name, (sys.executable, "-c", program, box, name, slow)) for name, slow in (("first", "0"), ("second", "0.5"))]
    supervisor = Supervisor(parts, tmp_path)
    supervisor.start()
    assert eventually(lambda: all("up" in (tmp_path / f"{part.name}.log").read_text() for part in parts))
    supervisor.stop()
    assert (tmp_path / "first.log").read_text() == "up\ndrained\n"


def test_an_optional_part_that_cannot_run_keeps_nobody_waiting(tmp_path: Path) -> None:
    lame = Part("lame", (sys.executable, "-c", "import sys; sys.exit('no such device')"), optional=True)
    refused = Part("refused", (sys.executable, "-c", "import sys; sys.exit(3)"), ready_url="http://127.0.0.1:1/", optional=True)
    supervisor = Supervisor([lame, refused, server("last")], tmp_path)
    supervisor.start()
    try:
        assert supervisor.problem() == ""
        assert eventually(lambda: supervisor.status()[1].state is State.FAILED)
        assert supervisor.status()[2].state is State.READY
    finally:
        supervisor.stop()


def test_a_change_restarts_what_differs_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    same, before = server("same"), server("other")
    supervisor = Supervisor([same, before], tmp_path)
    supervisor.start()
    try:
        kept, replaced = supervisor.pid("same"), supervisor.pid("other")
        after = server("other")
        assert supervisor.change([same, after, server("new")]) == ""
        assert supervisor.ready()
        assert supervisor.pid("same") == kept
        assert supervisor.pid("other") not in (0, replaced)
        assert supervisor.change([same, after], restart=["other"]) == ""
        assert [status.name for status in supervisor.status()] == ["same", "other"]
        assert "bad ended with status 2" in supervisor.change(
            [same, Part("bad", (sys.executable, "-c", "raise SystemExit(2)"), "http://127.0.0.1:1/")]
        )
    finally:
        supervisor.stop()


def test_a_part_reads_its_document_again_once_it_can_take_the_signal(tmp_path: Path) -> None:
    port = free_port()
    program = f"""
import signal, time
time.sleep(0.5)
signal.signal(signal.SIGHUP, lambda *_: print("read again", flush=True))
{SERVER.replace("sys.argv[1]", str(port)).replace("sys.argv[2]", "0")}
"""
    part = Part("reader", (sys.executable, "-c", program), ready_url=f"http://127.0.0.1:{port}/")
    supervisor = Supervisor([part], tmp_path)
    starter = threading.Thread(target=supervisor.start)
    starter.start()
    try:
        assert eventually(lambda: supervisor.pid("reader") != 0)
        assert supervisor.change([part], reread=["reader"]) == ""
        assert eventually(lambda: (tmp_path / "reader.log").read_text() == "read again\n")
        assert supervisor.status()[0].restarts == 0
    finally:
        starter.join()
        supervisor.stop()


def test_a_long_log_is_cut_and_the_part_goes_on_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MAX_LOG_BYTES", 1000)
    monkeypatch.setattr(process, "_LOG_LOOK_S", 0.1)
    program = "import time\nfor n in range(10**6): print(f'line {n:05}', flush=True); time.sleep(0.005)"
    supervisor = Supervisor([Part("talker", (sys.executable, "-c", program))], tmp_path)
    supervisor.start()
    log = tmp_path / "talker.log"
    try:
        assert eventually(lambda: (tmp_path / "talker.log.1").exists() and 0 < log.stat().st_size < 900)
        assert b"\0" not in log.read_bytes()
    finally:
        supervisor.stop()
