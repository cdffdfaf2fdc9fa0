# SPDX-License-Identifier: Apache-2.0
"""The log level of parts that read nothing else from the document; SIGHUP reads it again, without a restart."""

from __future__ import annotations

import signal
from pathlib import Path


def follow(part: str, file: Path | None, flag: str) -> None:
    """Sets up logging at the level of ``flag``, else the environment's, else the document's for ``part``.

    SIGHUP from then on: with a document it is read again; without one, or when the terminal is closed, as SIGTERM.

    Raises:
        UsageError: the document cannot be read, or the level is none.
    """
    from flowgauge.config.effective import Flag, effective
    from flowgauge.errors import UsageError
    from flowgauge.runtime import logs, signals

    flags = (Flag("--log-level", f"spec.logLevels.{part}", flag),) if flag else ()

    def configure() -> None:
        spec = effective(file, flags).spec
        logs.configure(spec.log_levels.get(part, spec.log_level))

    def again() -> None:
        try:
            configure()
        except UsageError as error:
            logs.get(part).error("document_not_applied", problem=str(error))

    terminal = signals.Terminal()

    def hung_up(*_: object) -> None:
        if file is None or terminal.is_gone:
            signal.raise_signal(signal.SIGTERM)
        else:
            again()

    configure()
    if file is not None or signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # it is under ``nohup``
        signal.signal(signal.SIGHUP, hung_up)
