# SPDX-License-Identifier: Apache-2.0
"""How exporters stand, as decoders see them: loss, clock, templates. Told by the decode thread, read by HTTP.

And what a decoder learned, kept in a file over a restart: exporters announce their templates seldom, and flows that come
before could not be read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

from flowgauge.runtime import logs
from flowgauge.wire.decoded import StreamReport
from flowgauge.wire.decoder import Decoder
from flowgauge.wire.decoder_state import StateError

TELL_S = 2.0
"""How often reports are made anew …"""
TELL_SHARE = 0.02
"""… or less often, so that making them takes no more of the decode thread's time than this: exporters may be thousands."""
SAVE_S = 60.0
"""How often templates are saved, if any changed."""

Key = tuple[bytes, int]
"""Address (16 bytes) and observation domain."""

_log = logs.get("collector")


class Standing:
    """The latest reports. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reports: dict[Key, list[StreamReport]] = {}

    def tell(self, reports: Iterable[StreamReport]) -> None:
        """These are all reports now."""
        found: dict[Key, list[StreamReport]] = {}
        for report in reports:
            for addr in (report.exporter_addr, *report.also_addr):
                found.setdefault((addr, report.obs_domain_id), []).append(report)
        with self._lock:
            self._reports = found

    def snapshot(self) -> dict[Key, list[StreamReport]]:
        """By exporter: one report for each protocol, session or source port; of a relay's stream for each behind it."""
        with self._lock:
            return self._reports


class TemplateFile:
    """Templates of the datagrams' decoder; ``path`` None keeps none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def restore(self, decoder: Decoder, now_ns: int) -> None:
        """Gives a decoder what another one has saved."""
        if self._path is None:
            return
        try:
            count = decoder.restore(self._path.read_bytes(), now_ns)
        except FileNotFoundError:
            return
        except (OSError, StateError) as error:
            _log.warning("templates_not_restored", file=str(self._path), error=str(error))
            return
        if count:
            _log.info("templates_restored", templates=count)

    def save(self, decoder: Decoder) -> None:
        """Keeps what the decoder knows."""
        if self._path is None:
            return
        new = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.write_bytes(decoder.save())
            new.replace(self._path)
        except OSError as error:
            _log.warning("templates_not_saved", file=str(self._path), error=str(error))
