# SPDX-License-Identifier: Apache-2.0
"""A part's ledger, and what else it measures, as Prometheus text: ``flowgauge_<counter>_total{component,instance}``.

The ledger stays the one source: metrics are made from its snapshot when somebody asks, so that logs, API, CLI footers and
``/metrics`` always say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flowgauge import __version__
from flowgauge.runtime.ledger import BY_NAME


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure that is not in the ledger.

    Attributes:
        name: without ``flowgauge_``, with its unit: ``agent_attached_interfaces``; a counter's without ``_total``.
        labels: beyond component and instance.
        cumulative: True for a counter.
    """

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    cumulative: bool = False


class Counted(Protocol):
    """A ledger, or several as one."""

    @property
    def component(self) -> str:
        """Which part's."""

    @property
    def instance(self) -> str:
        """Which one's."""

    def snapshot(self) -> dict[str, int]:
        """All counters that were touched."""


def ledger_families(ledgers: Iterable[Counted]) -> list[Metric]:
    """One counter family for each ledger counter that any of ``ledgers`` has touched, in the ledger's order."""
    snapshots = [(ledger.component, ledger.instance, ledger.snapshot()) for ledger in ledgers]
    families: list[Metric] = []
    for name, counter in BY_NAME.items():
        touched = [(part, instance, values[name]) for part, instance, values in snapshots if name in values]
        if touched:
            help_ = f"{counter.help} Unit: {counter.unit}; in the ledger: {counter.side}."
            family = CounterMetricFamily(f"flowgauge_{name}", help_, labels=("component", "instance"))
            for part, instance, value in touched:
                family.add_metric((part, instance), value)
            families.append(family)
    return families


def sample_families(samples: Iterable[Sample], component: str, instance: str) -> list[Metric]:
    """The families of ``samples``; those of one name share it, and must have the same label names."""
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for sample in samples:
        kind = CounterMetricFamily if sample.cumulative else GaugeMetricFamily
        names = ("component", "instance", *sample.labels)
        family = families.setdefault(sample.name, kind(f"flowgauge_{sample.name}", sample.help, labels=names))
        family.add_metric((component, instance, *sample.labels.values()), sample.value)
    return list(families.values())


class Exposition(Collector):
    """What ``/metrics`` of one part answers; ``text`` may be called from any thread.

    Args:
        ledger: the part's ledger.
        samples: called on each scrape for the figures beyond the ledger.
    """

    def __init__(self, ledger: Counted, samples: Callable[[], Iterable[Sample]] = tuple) -> None:
        self._ledger, self._samples = ledger, samples
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Called by prometheus_client on each scrape."""
        about = Sample("build_info", "Version of this build; always 1.", 1, {"version": __version__})
        yield from ledger_families([self._ledger])
        yield from sample_families([about, *self._samples()], self._ledger.component, self._ledger.instance)

    def text(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self._registry)
