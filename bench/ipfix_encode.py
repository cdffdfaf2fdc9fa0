# SPDX-License-Identifier: Apache-2.0
"""What encoding flows as IPFIX costs an agent, against limits measured in the same run.

* copy: copying the messages' bytes once (memcpy);
* struct: one ``struct.pack`` a flow of as many fields, the way that makes an object per flow.

Flows are a node's: both families, every protocol, a third translated. Rounds are interleaved and the smallest CPU time of each
counts; the ratios hold over machines. A few seconds.
"""

from __future__ import annotations

import argparse
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flowgauge.agent.messages import Messages
from flowgauge.agent.settings import AgentSettings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from wire_kit import random_flows

RECORD = struct.Struct("!4s4sBHBHQQQQIIIB16sHHB")
VALUES = (bytes(4), bytes(4), 6, 27, 1, 0, 1 << 40, 1 << 20, 1 << 40, 1 << 40, 1, 2, 1, 1, bytes(16), 40000, 443, 0)


def smallest(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """The smallest CPU seconds of each, in interleaved rounds."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            before = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - before)
    return best


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flows", type=int, default=50_000, help="flows of one export")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    flows = random_flows(options.flows, seed=1)
    agent = Messages(AgentSettings(node="node-a"))
    content = b"".join(message.payload for message in agent.flows(flows))
    works: dict[str, Callable[[], object]] = {
        "copy": lambda: bytearray(content),
        "struct": lambda: [RECORD.pack(*VALUES) for _ in range(options.flows)],
        "ours": lambda: agent.flows(flows),
    }
    best = smallest(works, options.rounds)
    print(f"IPFIX encode: {options.flows:,} flows, {len(content) / options.flows:.0f} B/flow on the wire")
    for name, seconds in best.items():
        rate, cost = options.flows / seconds / 1e6, seconds / options.flows * 1e6
        print(f"  {name:<7} {rate:>8.2f} M flows/s a core  {cost:>7.3f} CPU-s/M flows")
    print(f"  ratio to copy {best['ours'] / best['copy']:.0f}, struct to ours {best['struct'] / best['ours']:.1f}")


if __name__ == "__main__":
    main()
