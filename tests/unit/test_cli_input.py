# SPDX-License-Identifier: Apache-2.0
"""What people type wrong: one sentence, exit status 2, nothing started. And what exporters may write into a terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flowgauge.cli.endpoint import host_and_port
from flowgauge.cli.main import main
from flowgauge.cli.table import Column, Screen, printed, visible
from flowgauge.errors import FilterError, UsageError

CONSOLE = ("console", "--store-url", "http://127.0.0.1:1")
STORE = ("store", "--data-dir", "/nonexistent/store")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("flows", "--url", "http://[::1"), "no address of a console"),
        (("flows", "--url", "http://127.0.0.1:99999"), "no address of a console"),
        (("flows", "--url", "ftp://host"), "no address of a console"),
        (("decode", "--format", "xml", "x"), "Invalid value for '--format': 'xml' is not one of 'jsonl', 'csv', 'arrow'"),
        (("flows", "--since", "5x"), "--since '5x' is no duration"),
        (("flows", "--from", "5x"), "--from '5x' is no duration"),
        ((*CONSOLE, "--collector-url", "collector"), "no address of a collector"),
        ((*CONSOLE, "--store-secret-fd", "9999"), "--store-secret-fd 9999: no secret"),
        (("console", "--store-url", "http://127.0.0.1:1/a`b"), "no name of a database"),
        ((*STORE, "--secret-fd", "9999"), "--secret-fd 9999: no secret"),
        ((*STORE, "--secret-fd", "0", "--port", "99999"), "--port"),
        (("collect", "--read", "/nonexistent", "--store-url", "http://127.0.0.1:1"), "/nonexistent: No such file"),
        (("agent", "--collector", "[::1"), "--collector [::1: write an IPv6 address"),
        (("agent", "--collector", "[::1]2055"), "--collector [::1]2055: write an IPv6 address"),
        (("agent", "--collector", "host:"), "'' is no port"),
        (("agent", "--collector", "host:0"), "must be told the collector's port"),
        (("agent", "--collector", ":2055"), "no host"),
        (("agent", "--collector", f"{'a' * 64}.example:2055"), "of 1 to 63 characters between dots"),
        (("tee", "--to", "a..b:2055"), "of 1 to 63 characters between dots"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_option_is_one_sentence(arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert (said.out, said.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe\x00"], ids=["empty", "blank", "no text"])
@pytest.mark.parametrize("verb", [("flows", "--url", "http://127.0.0.1:1"), CONSOLE], ids=["flows", "console"])
def test_a_file_without_a_token_is_one_sentence(
    verb: tuple[str, ...], content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    assert main((*verb, "--token-file", str(file))) == 2
    assert f"--token-file {file}: the file is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("flows", "--url", "http://127.0.0.1:1", "--token-file", "/dev/zero"), "longer than 4096 bytes"),
        (("config", "check", "/dev/zero"), "longer than 262144 characters"),
    ],
    ids=["token", "document"],
)
def test_a_device_in_place_of_a_file_is_not_read_to_its_end(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("before", [0, 50_000])
def test_of_a_long_filter_the_part_that_is_wrong_is_shown(before: int) -> None:
    error = FilterError("no", text=f"{'a' * before}\x1b\tb= {'c' * 5000}", at=before + 2, length=5000)
    filtered, carets = error.pointed().split("\n")
    assert filtered[carets.index("^") :].startswith("b= ccc")
    assert filtered.isprintable()
    assert len(carets) <= len(filtered) < 200


def test_a_descriptor_that_is_not_open_is_named_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"secret")
    os.close(writing)
    assert main((*STORE, "--secret-fd", str(reading), "--ready-fd", "9999")) == 2
    assert "--ready-fd 9999: Bad file descriptor" in capsys.readouterr().err


@pytest.mark.parametrize("groups", ["core", "never", "icmp,Foo"])
def test_only_groups_that_can_be_switched_are_taken(groups: str, capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"secret")
    os.close(writing)
    assert main((*STORE, "--secret-fd", str(reading), "--groups", groups)) == 2
    assert "--groups: there is no group" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ("", None)),
        ("host", ("host", None)),
        ("host:2055", ("host", 2055)),
        (":0", ("", 0)),
        ("[::1]:2055", ("::1", 2055)),
        ("[::1]", ("::1", None)),
        ("2001:db8::1", ("2001:db8::1", None)),
    ],
)
def test_host_and_port(text: str, found: tuple[str, int | None]) -> None:
    assert host_and_port("--listen", text) == found


@pytest.mark.parametrize("text", ["host:65536", "host:-1", "host:\u00b2", "host:", "[::1", "[::1]x", "[::1]:"])
def test_no_host_and_port(text: str) -> None:
    with pytest.raises(UsageError, match="--listen"):
        host_and_port("--listen", text)


@pytest.mark.parametrize("name", ["\x1b]0;title\x07", "\x9b2J", "a\nb", "a\rb", "\u202egnp.exe", "a\tb", "\x7f"])
def test_a_name_cannot_command_the_terminal(name: str) -> None:
    shown = printed((Column("NAME"),), [[name]], Screen(80, colours=False))
    assert len(shown) == 2
    assert all(char.isprintable() for char in shown[1])
    assert visible("Größe→東京") == "Größe→東京"
