# SPDX-License-Identifier: Apache-2.0
"""``flowgauge``: finds the verb, imports only its module, and turns every error into one sentence and an exit status.

Exit statuses: 0; 1 a check failed or we are wrong; 2 the user is wrong; 3 this machine lacks something; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from flowgauge import __version__
from flowgauge.cli.completion import close_open_quote
from flowgauge.errors import NOTHING_MORE_FITS, EnvironmentProblem, FilterError, FlowgaugeError, UsageError

INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended: the reader of our output went away, as ``head`` does."""

_SHOWN_NAME = 60
"""Characters of a name that is too long."""

TRACEBACK_VARIABLE = "FLOWGAUGE_TRACEBACK"
"""Set to 1, an error of ours also prints where it happened; the supervisor sets it for the parts' logs."""


_PLAINER = {
    ": Value error, ": ": ",
    "Input should be a valid integer, unable to parse string as an integer": "must be a whole number",
    "Input should be a valid number, unable to parse string as a number": "must be a number",
    "Input should be greater than or equal to": "must be at least",
    "Input should be less than or equal to": "must be at most",
}
"""What pydantic says of an option's value, for people who never heard of it."""


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: its name, ``module:object`` (a function, or the typer app of its sub-verbs) and a line for the overview."""

    name: str
    target: str
    summary: str

    def load(self) -> Any:
        """The object, imported now."""
        module, _, attribute = self.target.partition(":")
        return getattr(importlib.import_module(module), attribute)


VERBS: tuple[Verb, ...] = (
    Verb("run", "flowgauge.cli.run:run", "Runs everything one machine needs: store, collector, agent, console."),
    Verb("demo", "flowgauge.cli.demo:app", "Shows flow-demo, a real Django with PostgreSQL, in a scene of three nodes."),
    Verb("flows", "flowgauge.cli.flows:flows", "Lists, sums or follows flows that a filter chooses."),
    Verb("top", "flowgauge.cli.top:top", "Shows conversations live in the terminal, by rate, RTT, resent segments or drops."),
    Verb("troubles", "flowgauge.cli.troubles:troubles", "Says what goes wrong between whom, and why, in sentences."),
    Verb("sockets", "flowgauge.cli.sockets:sockets", "Lists what happened to TCP sockets: who connected where, what failed."),
    Verb("datasets", "flowgauge.cli.datasets:datasets", "Lists or removes named datasets: flows that never expire."),
    Verb("exporters", "flowgauge.cli.exporters:exporters", "Lists who sends flows, how well they arrive, and what to do."),
    Verb("nodes", "flowgauge.cli.nodes:nodes", "Lists what nodes' kernels dropped and had no room for."),
    Verb("decode", "flowgauge.cli.decode:decode", "Decodes flow exports out of captures and files."),
    Verb("export", "flowgauge.cli.export:app", "Sends flows on to others, as IPFIX or NetFlow v9."),
    Verb("capture", "flowgauge.cli.capture:capture", "Captures packet headers, of the last while or as they come."),
    Verb("tee", "flowgauge.cli.tee:tee", "Passes flow exports on, unchanged, to several collectors."),
    Verb("logs", "flowgauge.cli.logs:logs", "Shows the logs of the running instance's parts."),
    Verb("config", "flowgauge.cli.config:app", "Checks a FlowCollector document; shows each setting and where it is from."),
    Verb("doctor", "flowgauge.cli.doctor:doctor", "Tells what this machine and its kernel lack, and what to do about it."),
    Verb("agent", "flowgauge.cli.agent:agent", "Observes this node's packets and exports flows as IPFIX."),
    Verb("collect", "flowgauge.cli.collect:collect", "Receives flows, names them and writes them to the store."),
    Verb("store", "flowgauge.cli.store:store", "Runs the embedded store."),
    Verb("console", "flowgauge.cli.console:console", "Serves the web console and its API."),
)

_BY_NAME = {verb.name: verb for verb in VERBS}


class Verbs(TyperGroup):
    """The overview shows stubs; the verb that is called, or whose options are completed, is imported."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for verb in VERBS:
            self.add_command(TyperCommand(verb.name, help=verb.summary, short_help=verb.summary))

    def get_params(self, ctx: Any) -> list[Any]:
        """As the base class; a flag that is not given is False. Typer leaves None, and imports pydantic to coerce it."""
        flags = super().get_params(ctx)
        for flag in flags:
            flag.default = flag.default or False
        return flags

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """As the base class, but the command is the real one."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else real_command(_BY_NAME[name]), rest


def real_command(verb: Verb) -> Any:
    """The verb's command with all options; its examples keep their lines in the help."""
    target = verb.load()
    around = typer.Typer(add_completion=False, rich_markup_mode=None)
    if isinstance(target, typer.Typer):
        around.add_typer(target, name=verb.name)
    else:
        around.command(verb.name)(target)
    around.callback()(lambda: None)  # with a callback, a single command stays one of a group
    group: Any = get_command(around)
    command = group.commands[verb.name]
    for one in (command, *getattr(command, "commands", {}).values()):
        one.short_help = (one.help or "").partition("\n\n")[0]
        one.help = _with_examples_as_written(one.help)
    return command


def _with_examples_as_written(text: str | None) -> str | None:
    """Click refills paragraphs; a leading backspace character keeps one as it is. Examples begin with the word."""
    if not text:
        return text
    paragraphs = inspect.cleandoc(text).split("\n\n")
    first = next((at for at, one in enumerate(paragraphs) if one.startswith("Example")), len(paragraphs))
    return "\n\n".join([*paragraphs[:first], *(f"\b\n{one}" for one in paragraphs[first:])])


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"flowgauge {__version__}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Who talks to whom, how much, how fast, what failed and why: network flows with names.

    Examples:
      flowgauge demo                             a real application, three nodes
      flowgauge run -f flowcollector.yaml        all that this machine needs
      flowgauge flows 'namespace = flow-demo'    who talks to whom there
      flowgauge flows --live 'drop_packets > 0'  drops as they happen
      flowgauge config check flowcollector.yaml  what each line will do

    Example of one verb's help:
      flowgauge flows --help
    """
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())


def application() -> Any:
    """The root command: verbs, ``--version``, ``--help``, shell completion."""
    app = typer.Typer(
        cls=Verbs,
        rich_markup_mode=None,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_root)
    command = get_command(app)
    command.help = _with_examples_as_written(command.help)
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; what went wrong is one sentence on standard error."""
    _open_standard_streams()
    close_open_quote()
    # Columns are no linear algebra, for which numpy would start a thread a processor: a third of the time to import it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return guarded(lambda: application().main(args=arguments, prog_name="flowgauge", standalone_mode=False))


def guarded(call: Callable[[], Any]) -> int:
    """Runs ``call``; its result when that is an exit status, else 0. No exception passes."""
    try:
        result = call()
        sys.stdout.flush()
    except FlowgaugeError as error:
        return _say(_sentence(error), error.exit_status)
    except TyperException as error:
        return _say_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as end:
        if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
            raise  # typer makes a SystemExit of it when a verb itself wrote to nobody
        _drop(sys.stdout)
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - the last place that can turn it into a sentence
        return _say_unforeseen(error)
    return result if isinstance(result, int) else 0


def _say(sentence: str, exit_status: int) -> int:
    return _write(f"flowgauge: {sentence}", exit_status)


def _write(text: str, exit_status: int) -> int:
    """To standard error, if that takes it; ``exit_status`` in any case."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)
    return exit_status


def _sentence(error: FlowgaugeError) -> str:
    if isinstance(error, FilterError):
        return f"{error}\n{error.pointed()}"
    return str(error)


def _say_usage(error: TyperException) -> int:
    """What was wrong and where help is; the message of a group without a verb is its whole help."""
    message = error.format_message()
    if message.startswith("Usage:"):
        return _write(message, error.exit_code)
    context = getattr(error, "ctx", None)
    hint = f" (help: {context.command_path} --help)" if context else ""
    for theirs, ours in _PLAINER.items():
        message = message.replace(theirs, ours)
    return _say(f"{message.rstrip('.')}{hint}", error.exit_code)


def _say_unforeseen(error: Exception) -> int:
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # only a user can have given such a name
        return _say(f"{str(error.filename)[:_SHOWN_NAME]}…: {error.strerror}", UsageError.exit_status)
    if isinstance(error, OSError) and error.errno in NOTHING_MORE_FITS:
        _drop(sys.stdout)
        return _say(f"{error.filename or 'the output'} cannot be written: {error.strerror}", EnvironmentProblem.exit_status)
    return _say(_confession(error), 1)


def _confession(error: Exception) -> str:
    """One sentence for an error that we did not foresee."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""  # noqa: PTH119 - a text
    if os.environ.get(TRACEBACK_VARIABLE) == "1":
        traceback.print_exception(error)
    hint = "" if TRACEBACK_VARIABLE in os.environ else f" with the output of {TRACEBACK_VARIABLE}=1"
    return f"this is our mistake: {type(error).__name__}: {error}{where}; please report it{hint}"


def _open_standard_streams() -> None:
    """Where a stream was closed by who called us, what we open next would get its number, and what we print."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            setattr(sys, name, open(descriptor, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - by number, for good


def _drop(stream: TextIO) -> None:
    """Lets Python's own flush at exit succeed, whose failure would be another exit status."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
