# SPDX-License-Identifier: Apache-2.0
"""The command's root: help, version, completion, and every error as one sentence with the right exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flowgauge import __version__
from flowgauge.cli import main as root
from flowgauge.cli.main import VERBS, guarded, main, real_command
from flowgauge.errors import EnvironmentProblem, FilterError, InternalError, UsageError

COMMAND = [sys.executable, "-P", "-m", "flowgauge.cli.main"]


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=60, env={**os.environ, **env}, check=False
    )


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"flowgauge {__version__}\n", "")


def test_without_a_verb_the_overview_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    overview = capsys.readouterr().out
    assert all(verb.name in overview for verb in VERBS)
    assert "flowgauge flows 'namespace = flow-demo'" in overview


@pytest.mark.parametrize(
    ("arguments", "heavy"),
    [
        pytest.param(["--help"], {"numpy", "pyarrow", "pydantic", "fastapi", "rich", "flowgauge.cli.flows"}, id="overview"),
        pytest.param(["flows", "--help"], {"numpy", "pydantic", "rich", "flowgauge.cli.api"}, id="help of a verb"),
        pytest.param(["agent", "--help"], {"numpy", "pydantic", "rich", "flowgauge.agent"}, id="help of a part"),
        pytest.param(["flosw"], {"numpy", "pydantic", "rich"}, id="a verb that is none"),
        pytest.param(["config", "check", os.devnull], {"numpy", "pyarrow", "fastapi", "rich"}, id="check of a document"),
    ],
)
def test_what_only_reads_a_text_imports_nothing_heavy(arguments: list[str], heavy: set[str]) -> None:
    program = (
        f"import sys; from flowgauge.cli.main import main; main({arguments!r}); found = {heavy!r} & set(sys.modules); "
        "sys.exit(f'imported: {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_loads_and_its_help_has_examples_on_lines_of_their_own(verb: root.Verb) -> None:
    command = real_command(verb)
    subcommands = getattr(command, "commands", {})
    texts = [one.help or "" for one in (subcommands.values() if subcommands else [command])]
    assert any(f"\n  flowgauge {verb.name}" in text.replace("\n    ", "\n  ") for text in texts)
    assert all("\b\nExample" in text for text in texts if "Example" in text)


def every_command() -> list[tuple[str, ...]]:
    subs = {verb.name: getattr(real_command(verb), "commands", {}) for verb in VERBS}
    return [(), *((name,) for name in subs), *((name, sub) for name, found in subs.items() for sub in found)]


@pytest.mark.parametrize("path", every_command(), ids=" ".join)
def test_every_help_fits_80_columns(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage: flowgauge" in shown
    assert [line for line in shown.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["agnt"], "flowgauge: No such command 'agnt'. Did you mean 'agent'? (help: flowgauge --help)\n"),
        (["logs", "--lins", "3"], "flowgauge: No such option: --lins (Possible options: --lines"),
        (["config", "check"], "flowgauge: Missing argument 'file' (help: flowgauge config check --help)\n"),
        (["config", "check", "/no/such/file"], "flowgauge: cannot read /no/such/file: No such file or directory\n"),
        (["logs", "--grep", "("], "flowgauge: --grep (: not a regular expression"),
        (
            ["logs", "--lines", "x"],
            "flowgauge: Invalid value for '--lines' / '-n': must be a whole number (help: flowgauge logs",
        ),
        (["flows", "--limit", "-3"], "flowgauge: Invalid value for '--limit': must be at least 1 (help: flowgauge flows"),
        (["agent", "--collector", ":::"], "flowgauge: --collector must be a host's name or address, not ':::'\n"),
        (["config", "check", "x" * 5000], "flowgauge: cannot read xxx"),
        (["decode", "x" * 5000], "flowgauge: xxx"),
        (["logs", "--log-dir", "x" * 5000], "flowgauge: "),
    ],
)
def test_a_user_error_is_one_sentence_and_status_2(arguments: list[str], sentence: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.count("\n") == 1


def raising(error: BaseException) -> int:
    def call() -> None:
        raise error

    return guarded(call)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("no"), 2),
        (EnvironmentProblem("no clang"), 3),
        (InternalError("odd"), 1),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 141),
        (ValueError("surprise"), 1),
    ],
)
def test_exit_statuses(error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "_drop", print)
    assert raising(error) == status


def test_an_error_we_did_not_foresee_is_a_sentence_with_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLOWGAUGE_TRACEBACK", raising=False)
    raising(ValueError("surprise"))
    said = capsys.readouterr().err
    assert said.startswith("flowgauge: this is our mistake: ValueError: surprise at test_cli_main.py:")
    assert said.count("\n") == 1
    monkeypatch.setenv("FLOWGAUGE_TRACEBACK", "1")
    raising(ValueError("surprise"))
    assert "Traceback" in capsys.readouterr().err


def test_a_filter_error_points_at_the_character(capsys: pytest.CaptureFixture[str]) -> None:
    raising(FilterError("there is no field", text="nmespace = x", at=0, length=8, suggestion="namespace"))
    assert capsys.readouterr().err == (
        "flowgauge: there is no field at character 1 (did you mean 'namespace'?)\nnmespace = x\n^^^^^^^^\n"
    )


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} config show | head -n 1"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""


def test_ctrl_c_ends_with_130_and_no_words(tmp_path: Path) -> None:
    (tmp_path / "store.log").write_text("line\n")
    process = subprocess.Popen([*COMMAND, "logs", "--follow", "--log-dir", str(tmp_path)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "line\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 130


def test_logs_follow_prints_what_is_added_even_after_the_log_was_emptied(tmp_path: Path) -> None:
    log = tmp_path / "agent-node-a.log"
    log.write_text("first wanted\nother\n")
    process = subprocess.Popen([*COMMAND, "logs", "agent", "--follow", "--grep", "wanted", "--log-dir", str(tmp_path)],
                               stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "first wanted\n"
        with log.open("a") as stream:
            stream.write("second wan")
            stream.flush()
            time.sleep(0.5)
            stream.write("ted\nnot this\n")
        assert process.stdout.readline() == "second wanted\n"
        log.write_text("third wanted\n")
        assert process.stdout.readline() == "third wanted\n"
    finally:
        process.kill()
        process.communicate()


def test_verbs_and_options_complete_in_the_shell() -> None:
    def complete(words: str) -> str:
        return run(_FLOWGAUGE_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(len(words.split(" ")) - 1)).stdout

    assert "console" in complete("flowgauge con").split()
    assert "config" in complete("flowgauge con").split()
    assert "--data-dir" in complete("flowgauge run --da").split()
    assert "check" in complete("flowgauge config ch").split()


@pytest.mark.parametrize("arguments", ["config show", "flows --help"])
def test_a_full_disk_behind_the_output_is_no_mistake_of_ours(arguments: str) -> None:
    line = f"{' '.join(COMMAND)} {arguments} > /dev/full"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (3, "flowgauge: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize("arguments", ["config", "config check /nowhere", "config --no-such-option"])
def test_a_full_disk_behind_the_errors_changes_no_exit_status(arguments: str) -> None:
    line = f"{' '.join(COMMAND)} {arguments} 2> /dev/full"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_caller_closed_is_as_the_null_device(closed: str) -> None:
    line = f"{' '.join(COMMAND)} config show {closed}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_python_that_this_user_cannot_run_is_no_missing_setup(tmp_path: Path) -> None:
    launcher = tmp_path / "flowgauge"
    launcher.write_bytes((Path(__file__).parents[2] / "flowgauge").read_bytes())
    (tmp_path / ".venv/bin").mkdir(parents=True)

    def said() -> str:
        return subprocess.run(["bash", str(launcher)], capture_output=True, text=True, timeout=60, check=False).stderr

    assert "not set up yet; run: make -C" in said()
    (tmp_path / ".venv/bin/python").symlink_to("/nonexistent/python")
    assert "this user cannot run /nonexistent/python" in said()
