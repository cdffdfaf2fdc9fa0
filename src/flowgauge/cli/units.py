# SPDX-License-Identifier: Apache-2.0
"""Numbers and times as people read them; the same forms as on the web page. Decimal units, as network people count."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from flowgauge.errors import UsageError
from flowgauge.schema.duration import milliseconds

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")
_DURATIONS = (
    (1, "ns"),
    (1_000, "µs"),
    (1_000_000, "ms"),
    (1_000_000_000, "s"),
    (60_000_000_000, "min"),
    (3_600_000_000_000, "h"),
)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_DURATION = re.compile(r"\d+[a-z]+")


def size(count: float, suffix: str = "") -> str:
    """Bytes: ``999 B``, ``1.5 kB``; ``suffix`` ``/s`` makes a rate."""
    step, rest = 0, float(count)
    while rest >= 999.5 and step < len(_BYTES) - 1:
        rest /= 1000
        step += 1
    digits = 0 if step == 0 or rest >= 99.95 else 1
    return f"{rest:.{digits}f} {_BYTES[step]}{suffix}"


def number(count: float) -> str:
    """A whole number in groups of three: ``12,345``."""
    return f"{round(count):,}"


def counted(count: int, noun: str) -> str:
    """A number with its noun: ``1 flow``, ``2 flows``."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def duration(ns: float) -> str:
    """``250 µs``, ``48 ms``, ``1.5 s``, ``3 min``."""
    factor, unit = next((pair for pair in reversed(_DURATIONS) if ns >= pair[0]), _DURATIONS[0])
    value = ns / factor
    text = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return f"{text} {unit}"


def estimate(text: str, error: float | None, *, approx: bool) -> str:
    """``≈ 1.5 MB ±12 %`` for a scaled figure; without ± where its error cannot be told, as it is where it is exact."""
    if not approx:
        return text
    if error is None:
        return f"≈ {text}"
    percent = "<1" if error < 0.005 else f"{100 * error:.0f}" if error < 10 else ">999"
    return f"≈ {text} ±{percent} %"


def clock(ms: float) -> str:
    """Local time of day with milliseconds."""
    moment = datetime.fromtimestamp(ms / 1000).astimezone()
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"


def span(start_ms: float, end_ms: float) -> str:
    """A time range in local time; with the day where it is not today's."""
    start, end = (datetime.fromtimestamp(ms / 1000).astimezone() for ms in (start_ms, end_ms))
    today = datetime.now().astimezone().date()
    first = f"{start:%H:%M:%S}" if start.date() == today else f"{start:%Y-%m-%d %H:%M:%S}"
    last = f"{end:%H:%M:%S}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M:%S}"
    return f"{first} – {last}"


def moment_ms(option: str, text: str) -> int:
    """Milliseconds since 1970 of ``2026-01-31T23:59``, ``23:59:30`` (the last time it was that) or ``10m`` (so long ago)."""
    now = datetime.now().astimezone()
    if _DURATION.fullmatch(text):
        return round(now.timestamp() * 1000) - milliseconds(text, option)
    if match := _CLOCK.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in match.groups())
        if hour < 24 and minute < 60 and second < 60:
            moment = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
            return round((moment if moment <= now else moment - timedelta(days=1)).timestamp() * 1000)
    try:
        return round(datetime.fromisoformat(text).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {text!r} is no time; write 2026-01-31T23:59, 23:59 or 10m (ago)") from None
