# SPDX-License-Identifier: Apache-2.0
"""The Tab key in real shells: verbs, options, files, words of lists, columns, and parts of filters."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from console_kit import Console, running_console
from flowgauge.cli.main import VERBS
from flowgauge.console.settings import ConsoleSettings
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime.http import Handler, HttpServer, Request, Response, as_json
from flowgauge.runtime.instance import Instance
from flowgauge.schema import filters
from flowgauge.store.secret import reader_key
from store_kit import flows, running_store

pytestmark = pytest.mark.slow

PATIENCE_S = 150.0
"""Each Tab starts the command anew; a busy machine takes seconds for that."""
AGAIN_S = 10.0
"""A Tab asks the console for values no longer than a second: where nothing has come by then, a user presses it again, and
waits twice as long: whoever presses too soon begins anew."""
START = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set bell-style none' 2>/dev/null; source {script}\r"),
    "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -D; unsetopt beep; source {script}\r"),
    "fish": (["fish", "--no-config", "-i"], "source {script}\r"),
}
CLEAR = "\x15"
"""Ctrl-U empties the line in each of them."""
ESCAPES = re.compile(r"\x1b(\[[0-9;?<=>]*[a-zA-Z]|[=>]|\][^\x07]*\x07|\([A-B])|[\r\x00\x08]")


class Terminal:
    """A shell that sits at a terminal."""

    def __init__(self, shell: str, home: Path) -> None:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.chdir(home)
            environment = {
                "HOME": str(home),
                "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
                "TERM": "vt100",
                "COLUMNS": "120",
                "FLOWGAUGE_RUNTIME_DIR": str(home / "run"),
            }
            os.execvpe(shell, START[shell][0], environment)  # noqa: S606 - it is the shell that is tested
        self._text = ""
        self.type(START[shell][1].format(script=home / f"completion.{shell}") + "echo rea''dy\r")
        assert self.shows("ready\n"), self._text

    def type(self, keys: str) -> None:
        """Presses keys on an empty line; what was shown before is forgotten."""
        self._text = ""
        os.write(self._fd, f"{CLEAR}{keys}".encode())

    def answers(self, keys: str, wanted: str) -> bool:
        """Whether ``wanted`` comes to stand there for ``keys`` on an empty line, pressed again and again within a bound."""
        until, patience_s = time.monotonic() + PATIENCE_S, AGAIN_S
        while time.monotonic() < until:
            self.type(keys)
            if self.shows(wanted, patience_s):
                return True
            patience_s *= 2
        return False

    def shows(self, wanted: str, patience_s: float = PATIENCE_S) -> bool:
        """Whether ``wanted`` comes to stand on the screen, within a bound."""
        until = time.monotonic() + patience_s
        while wanted not in ESCAPES.sub("", self._text):
            if time.monotonic() > until or not self._read():
                return False
        return True

    def _read(self) -> bool:
        if select.select([self._fd], [], [], 1.0)[0]:
            with contextlib.suppress(OSError):
                self._text += os.read(self._fd, 65536).decode(errors="replace")
                return True
            return False
        return True

    def close(self) -> None:
        """Ends the shell."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._fd)


@contextlib.contextmanager
def running(home: Path, url: str) -> Iterator[None]:
    """The console at ``url`` is that of the running instance."""
    state = home / "run" / "instance.json"
    state.parent.mkdir(exist_ok=True)
    state.write_text(json.dumps(asdict(Instance(os.getpid(), "run", console_url=url))))
    yield
    state.unlink()


@contextlib.contextmanager
def hostile(routes: dict[str, Handler]) -> Iterator[str]:
    """A console that answers so."""
    server = HttpServer("127.0.0.1", 0, routes)
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The console over a store with flows of two namespaces."""
    with running_store(tmp_path_factory.mktemp("store")) as process:
        process.open().write(FlowBatch.concat([flows("flow-demo"), flows("other-team")]), "rows")
        with running_console(ConsoleSettings(process.url, reader_key(process.secret))) as running:
            yield running


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the command on its path, its completion for each shell, and some files."""
    home = tmp_path_factory.mktemp("home")
    (home / "bin").mkdir()
    command = home / "bin" / "flowgauge"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m flowgauge.cli.main "$@"\n')
    command.chmod(0o755)
    for shell in START:
        asked = os.environ | {"_FLOWGAUGE_COMPLETE": f"source_{shell}"}
        shown = subprocess.run([command], capture_output=True, text=True, timeout=60, env=asked, check=True)
        (home / f"completion.{shell}").write_text(shown.stdout)
    (home / "document-one.yaml").touch()
    (home / "captures-here").mkdir()
    return home


@pytest.fixture(scope="module", params=["bash", pytest.param("zsh", marks=pytest.mark.tool("zsh")),
                        pytest.param("fish", marks=pytest.mark.tool("fish"))])  # fmt: skip
def terminal(request: pytest.FixtureRequest, home: Path) -> Iterator[Terminal]:
    """Each shell that we offer completion for."""
    terminal = Terminal(request.param, home)
    yield terminal
    terminal.close()


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("flowgauge conf", "flowgauge config"),
        ("flowgauge exporters --det", "flowgauge exporters --details"),
        ("flowgauge run -f docu", "flowgauge run -f document-one.yaml"),
        ("flowgauge decode capt", "flowgauge decode captures-here/"),
        ("flowgauge flows --by src_owner,dst_owner_k", "flowgauge flows --by src_owner,dst_owner_kind"),
        ("flowgauge flows --top retr", "flowgauge flows --top retransmits"),
        ("flowgauge demo fault policy-d", "flowgauge demo fault policy-drop"),
        ("flowgauge flows port = 443 and icmp_c", "flowgauge flows port = 443 and icmp_code"),
        ("flowgauge flows 'proto = udpl", "flowgauge flows 'proto = udplite"),
    ],
)  # fmt: skip
def test_the_tab_key_ends_a_word(terminal: Terminal, typed: str, becomes: str) -> None:
    assert terminal.answers(f"{typed}\t", becomes)


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("flowgauge flows namespace = ot", "flowgauge flows namespace = other-team"),
        ("flowgauge flows 'namespace = flow", "flowgauge flows 'namespace = flow-demo"),
        ("flowgauge flows 'port = 443 and src_owner = w", "flowgauge flows 'port = 443 and src_owner = web"),
    ],
)
def test_values_are_those_that_the_running_instance_has(
    terminal: Terminal, home: Path, console: Console, typed: str, becomes: str
) -> None:
    with running(home, console.url):
        assert terminal.answers(f"{typed}\t", becomes)


def test_several_values_are_listed(terminal: Terminal, home: Path, console: Console) -> None:
    with running(home, console.url):
        assert terminal.answers("flowgauge flows 'namespace = \t\t", "flow-demo")
        assert terminal.shows("other-team")


def test_a_name_that_a_shell_would_obey_is_not_offered(terminal: Terminal, home: Path) -> None:
    """Names come from the network; a script of completion is given what is offered to evaluate."""
    names = [
        "harmless-b",
        *(name.format(home / "obeyed") for name in ('"<(touch {})', "\\$(touch {})", "`touch {}`", "';touch {}'")),
    ]

    def offers(request: Request) -> Response:
        text = request.value("text", "")
        return as_json([{"at": len(text), "insert": f"{filters.quoted(name)} ", "label": name} for name in names])

    with hostile({"/api/v1/complete": offers}) as url, running(home, url):
        assert terminal.answers("flowgauge flows name = \t", "flowgauge flows name = harmless-b")
    assert not (home / "obeyed").exists()


def test_completion_knows_every_verb(home: Path) -> None:
    asked = {"COMP_WORDS": "flowgauge ", "COMP_CWORD": "1", "_FLOWGAUGE_COMPLETE": "complete_bash"}
    done = subprocess.run([home / "bin" / "flowgauge"], capture_output=True, text=True, timeout=60, env=os.environ | asked,
                          check=True)  # fmt: skip
    assert set(done.stdout.split()) == {verb.name for verb in VERBS}
