# SPDX-License-Identifier: Apache-2.0
"""Where a command begins and ends: Ctrl-C ends it without a word also while Python still imports, and while it exits.

Python answers Ctrl-C (SIGINT) by an exception, of which whatever module is being imported prints a traceback, or which it takes
for its own. So the signal ends the process as it does any program, 130 to a shell, until :func:`main` can turn the exception
into a sentence. SIGTERM and SIGHUP do so by themselves until a verb has a use for them.

The launcher runs this file by its path and without ``site`` (``python -S``), which would be the first thing to be interrupted.
"""

# Built into Python: no file is read, and no other module, before the signal is what it shall be.
import _signal  # type: ignore[import-not-found]  # no stub has it
import sys

_RAISES = _signal.default_int_handler
if _signal.getsignal(_signal.SIGINT) is _RAISES:  # else it is ignored, as in the background of a script, and stays so
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
if sys.flags.no_site:
    import site

    site.main()


def main() -> int:
    """Runs the command that the process was started with and returns its exit status."""
    from flowgauge.cli.main import INTERRUPTED
    from flowgauge.cli.main import main as run

    ends = _signal.getsignal(_signal.SIGINT) is _signal.SIG_DFL
    try:
        if ends:
            _signal.signal(_signal.SIGINT, _RAISES)
        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        if _signal.getsignal(_signal.SIGINT) is _RAISES:
            _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
