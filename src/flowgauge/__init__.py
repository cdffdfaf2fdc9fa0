# SPDX-License-Identifier: Apache-2.0
"""Flowgauge: who talks to whom, how much, how fast, what failed and why.

The folders are the data path, in the order a flow travels: ``ebpf`` → ``agent`` → ``wire`` → ``collector`` →
``pipeline`` (with ``enrich``) → ``store`` → ``query`` → ``console`` and ``cli``. ``docs/life-of-a-flow.md`` walks it.
"""

__version__ = "0.1.0"
