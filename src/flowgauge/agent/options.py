# SPDX-License-Identifier: Apache-2.0
"""The document as the flow program takes it, when it is loaded.

Imports no numpy, nor does what it imports: the kernel can verify the program while numpy is imported. Before it: the settings;
after it: :mod:`flowgauge.ebpf.parts`, then :mod:`flowgauge.agent.kernel_side`.
"""

from __future__ import annotations

from flowgauge.agent.rules import choice_bits, kernel_rules
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Exporter, Feature
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.runtime import linux


def fixed(exporter: Exporter) -> tuple[object, ...]:
    """What of the document is fixed when the program is loaded."""
    rules = kernel_rules(exporter.rules, exporter.sampling)
    features = frozenset(exporter.features), tuple(exporter.dns_ports)
    choice = choice_bits(exporter.namespaces, exporter.pods), rules, exporter.tunnels
    return exporter.sampling, exporter.sampling_mode, exporter.max_flows, features, choice


def program_options(settings: AgentSettings) -> ProgramOptions:
    """What is fixed when the program is loaded for an agent with ``settings``."""
    exporter = settings.exporter
    return ProgramOptions(
        max_flows=exporter.max_flows,
        sampling=exporter.sampling,
        sampling_mode=exporter.sampling_mode,
        nat=Feature.NAT in exporter.features,
        rtt=Feature.RTT in exporter.features,
        drops=Feature.DROPS in exporter.features,
        dns=Feature.DNS in exporter.features,
        dns_ports=tuple(exporter.dns_ports),
        server_time=Feature.SERVER_TIME in exporter.features,
        process=Feature.PROCESS in exporter.features,
        sockets=Feature.SOCKETS in exporter.features,
        tls=Feature.TLS in exporter.features,
        icmp_errors=Feature.ICMP_ERRORS in exporter.features,
        macs=Feature.MACS in exporter.features,
        tunnels=exporter.tunnels == "inner",
        choice=choice_bits(exporter.namespaces, exporter.pods),
        rules=kernel_rules(exporter.rules, exporter.sampling),
        netns=linux.netns_path(settings.netns),
        shares_kernel=bool(settings.netns),
        salt=settings.salt,
    )
