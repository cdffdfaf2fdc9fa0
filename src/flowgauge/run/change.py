# SPDX-License-Identifier: Apache-2.0
"""What a changed document asks of running parts: who reads it again, who must be started anew, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flowgauge.collector.settings import CollectorSettings
from flowgauge.config.effective import Effective
from flowgauge.config.explain import field_names
from flowgauge.config.groups import stored_groups
from flowgauge.config.model import Collector, Spec
from flowgauge.run.compose import Composition

_SENDING = ("address", "port", "type", "transport", "clientTls", "others", "spread", "kafka")
"""Fields of ``spec.collector`` by which an agent sends."""

_READ_BY: dict[str, tuple[str, ...]] = {
    "store": ("spec.storage.", "spec.logLevel"),
    "console": ("spec.consolePlugin.", "spec.logLevel"),
    "agent": ("spec.exporter.", *(f"spec.collector.{name}" for name in _SENDING), "spec.logLevel"),
    "collector": ("spec.collector.", "spec.storage.retention", "spec.logLevel"),
}
"""Kind of part → the settings it looks at."""


_STORED_BY = frozenset({"spec.exporter.features", "spec.exporter.tunnels", "spec.storage.index.columns"})
"""Settings that decide which columns are stored (``config.groups``)."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be done.

    Attributes:
        settings: what changed, for people: ``spec.logLevel: info → debug``.
        restart: part → why it cannot take the change over while it runs.
        reread: parts that take it over when they read the document again, and files that it names.
        gone, come: parts that the new document does not want, or wants in addition.
    """

    settings: tuple[str, ...] = ()
    restart: Mapping[str, str] = field(default_factory=dict)
    reread: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    come: tuple[str, ...] = ()


def change(before: tuple[Effective, Composition], after: tuple[Effective, Composition]) -> Change:
    """Compares what runs with what is wanted; where the document is silent both must have the same ports and secrets."""
    old, new = ({part.name: part for part in composition.parts} for _, composition in (before, after))
    changed = list(_changed(before[0], after[0]))
    restart: dict[str, str] = {}
    reread: list[str] = []
    for name in [name for name in old if name in new]:
        reasons = _reasons(name, before[0].spec, after[0].spec, [path for path, _ in changed])
        if old[name] != new[name] or reasons:
            restart[name] = _sentence(name, reasons or _seen_by(name, [path for path, _ in changed]))
        elif _seen_by(name, [path for path, _ in changed]) or (name == "collector" and after[0].spec.collector.elements):
            reread.append(name)
    return Change(
        settings=tuple(text for _, text in changed),
        restart=restart,
        reread=tuple(reread),
        gone=tuple(name for name in old if name not in new),
        come=tuple(name for name in new if name not in old),
    )


def _changed(before: Effective, after: Effective) -> Iterator[tuple[str, str]]:
    """Path and text of each setting that differs; a section that one of them lacks (``tls``) has none of its settings there."""
    old, new = ({setting.path: setting.value for setting in one.settings()} for one in (before, after))
    for path in dict.fromkeys((*new, *old)):
        if old.get(path) != new.get(path):
            yield path, f"{path}: {_shown(old.get(path))} → {_shown(new.get(path))}"


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)


def _reasons(name: str, before: Spec, after: Spec, changed: list[str]) -> list[str]:
    """Settings that the running part itself says it cannot take over.

    Which columns the tables have is asked once, by whoever writes to them or reads them.
    """
    columns = stored_groups(before) != stored_groups(after)
    features = [path for path in changed if columns and path in _STORED_BY]
    if name != "collector":
        return features if name in ("store", "console") else []
    old, new = (CollectorSettings("", collector=spec.collector, storage=spec.storage) for spec in (before, after))
    fixed = old.needs_restart(new)
    return [*features, *(path for path in _seen_by(name, changed) if _setting(path) in fixed)]


def _setting(path: str) -> str:
    """The name under which ``CollectorSettings`` knows a path: ``collector.receive_buffer_bytes``, ``storage``."""
    _, section, *rest = path.split(".")
    return f"collector.{field_names(Collector)[rest[0]]}" if section == "collector" else section


def _seen_by(name: str, changed: list[str]) -> list[str]:
    prefixes = _READ_BY[name.partition("-")[0]]
    return [path for path in changed if path.startswith(prefixes)]


def _sentence(name: str, paths: list[str]) -> str:
    kind = name.partition("-")[0]
    cause = ", ".join(path.removeprefix("spec.") for path in paths) or "how it is started"
    verb = "take" if len(paths) > 1 else "takes"
    cost = {
        "agent": "about a second of traffic is not observed",
        "collector": "agents hold their flows until it is back",
        "store": "the collector holds flows until it is back",
        "console": "open pages connect again",
    }[kind]
    return f"{cause} {verb} effect at a start only; {cost}"
