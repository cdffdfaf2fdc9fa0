# SPDX-License-Identifier: Apache-2.0
"""Who may ask, and what keeps a browser safe."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from agent_kit import until
from console_kit import Console, Reply, running_console
from flowgauge.console import auth
from flowgauge.console.settings import ConsoleSettings
from flowgauge.errors import UsageError

TOKEN = "a token of some length"
STORE_SECRET = "the store's own secret"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def open_console() -> Iterator[Console]:
    with running_console(ConsoleSettings(NOWHERE, STORE_SECRET)) as console:
        yield console


@pytest.fixture(scope="module")
def guarded() -> Iterator[Console]:
    with running_console(ConsoleSettings(NOWHERE, STORE_SECRET, token=TOKEN)) as console:
        yield console


def columns(console: Console, **headers: str) -> Reply:
    return console.ask("/api/v1/columns", headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "console.localhost:8055", "127.0.0.1", "127.8.9.1:1", "[::1]:8055"]
)
def test_loopback_names_are_answered(open_console: Console, host: str) -> None:
    assert columns(open_console, Host=host.lower()).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.1", "[2001:db8::1]", "127.0.0.1.evil.example", ""]
)
def test_a_rebound_name_is_refused_everywhere(open_console: Console, host: str) -> None:
    for path in ("/api/v1/columns", "/", "/healthz", "/api/openapi.json"):
        assert open_console.ask(path, headers={"Host": host}).status == 403


def test_without_the_token_nothing_but_health_is_told(guarded: Console) -> None:
    for path in ("/api/v1/columns", "/api/openapi.json", "/metrics", "/", "/assets/x.js", "/api/v1/live", "/login"):
        assert guarded.ask(path).status == 401, path
    assert guarded.ask("/healthz").status == 200
    assert columns(guarded).headers["WWW-Authenticate"] == "Bearer"
    assert "token" in columns(guarded).problem["message"]


@pytest.mark.parametrize("value", ["Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ", f"Bearer {TOKEN} x", "Bearer \xff"])
def test_a_wrong_authorization_is_refused(guarded: Console, value: str) -> None:
    assert columns(guarded, Authorization=value).status == 401


def test_the_token_opens_as_bearer(guarded: Console) -> None:
    assert columns(guarded, Authorization=f"Bearer {TOKEN}").status == 200
    assert columns(guarded, Authorization=f"bearer {TOKEN}").status == 200


def test_a_link_with_the_token_becomes_a_cookie_that_is_not_the_token(guarded: Console) -> None:
    reply = guarded.ask("/traffic", token=TOKEN, filter="port = 80")
    assert (reply.status, reply.headers["Location"]) == (303, "/traffic?filter=port+%3D+80")
    cookie = reply.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert columns(guarded, Cookie=cookie.partition(";")[0]).status == 200
    assert columns(guarded, Cookie=f"{auth.COOKIE}={TOKEN}").status == 401
    assert guarded.ask("/traffic", token="wrong").status == 401


def test_people_log_in_by_a_form_that_leads_back_to_this_server_only(guarded: Console) -> None:
    form = guarded.ask("/traffic?x=1", headers={"Accept": "text/html"})
    assert (form.status, 'action="/login?next=%2Ftraffic%3Fx%3D1"' in form.text) == (401, True)
    body = urlencode({"token": TOKEN}).encode()
    assert guarded.ask("/login?next=/traffic", body=body).headers["Location"] == "/traffic"
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example"):
        assert guarded.ask("/login", body=body, next=elsewhere).headers["Location"] == "/"
    assert guarded.ask("/login", body=b"token=wrong").status == 401
    assert guarded.ask("/login", body=b"token=" + b"x" * 5000).status == 413
    evil = guarded.ask('/"><script>alert(1)</script>', headers={"Accept": "text/html"})
    assert "<script>" not in evil.text


def test_every_answer_carries_the_headers_that_keep_a_browser_safe(open_console: Console, guarded: Console) -> None:
    replies = [
        columns(open_console), open_console.ask("/"), open_console.ask("/nonsense.js"), open_console.api("flows"),
        open_console.ask("/", headers={"Host": "evil.example"}), guarded.ask("/"),
    ]  # fmt: skip
    for reply in replies:
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert "unsafe" not in reply.headers["Content-Security-Policy"]
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["X-Frame-Options"] == "DENY"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in reply.headers


def test_an_open_console_beyond_loopback_is_refused() -> None:
    for address in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(UsageError, match="needs a token"):
            ConsoleSettings(NOWHERE, "", address=address).check()
        ConsoleSettings(NOWHERE, "", address=address, token=TOKEN).check()
    with pytest.raises(UsageError, match="shorter than"):
        ConsoleSettings(NOWHERE, "", token="short").check()
    ConsoleSettings(NOWHERE, "").check()


def test_settings_do_not_print_secrets() -> None:
    text = repr(ConsoleSettings(NOWHERE, STORE_SECRET, token=TOKEN))
    assert STORE_SECRET not in text
    assert TOKEN not in text


def test_the_process_shows_no_secret_in_its_arguments_or_its_log(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN + "\n")
    reading, writing = os.pipe()
    os.write(writing, STORE_SECRET.encode())
    os.close(writing)
    argv = [sys.executable, "-m", "flowgauge.cli.main", "console", "--store-url", NOWHERE, "--store-secret-fd", str(reading),
            "--token-file", str(token_file), "--port", "0", "--log-level", "debug"]  # fmt: skip
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(argv, pass_fds=(reading,), stderr=stream, stdout=stream)
    os.close(reading)
    try:
        console = Console(_listening(log, process))
        assert console.ask("/", token=TOKEN).status == 303
        assert console.ask("/api/v1/flows", headers={"Authorization": f"Bearer {TOKEN}"}).status == 503
        assert console.ask("/login", body=urlencode({"token": TOKEN}).encode()).status == 303
        arguments = Path(f"/proc/{process.pid}/cmdline").read_text()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    for shown in (arguments, log.read_text()):
        assert TOKEN not in shown
        assert STORE_SECRET not in shown


def _listening(log: Path, process: subprocess.Popen[bytes]) -> str:
    def where() -> str:
        assert process.poll() is None, log.read_text()
        found = re.search(r"http://127\.0\.0\.1:\d+", _events(log, "console_listening"))
        return found[0] if found else ""

    return str(until(where, "the console listens"))


def _events(log: Path, name: str) -> str:
    return "\n".join(line for line in log.read_text().splitlines() if name in line)
