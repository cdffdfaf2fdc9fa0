# SPDX-License-Identifier: Apache-2.0
"""All golden cases of ``golden/wire`` that are built here.

``python tests/golden_cases.py`` writes README.md and in.pcap of each; ``FLOWGAUGE_UPDATE_GOLDEN=1 pytest
tests/golden/test_wire_captures.py`` then writes expected.json, to be reviewed.
"""

from __future__ import annotations

from pathlib import Path

import device_cases
import exporter_cases
import private_cases
import template_cases
import wire_cases

FOLDER = Path(__file__).parent / "golden/wire"
CASES = wire_cases.CASES | device_cases.CASES | exporter_cases.CASES | private_cases.CASES | template_cases.CASES


def main() -> None:
    """Writes every case."""
    for name, case in CASES.items():
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
        (FOLDER / name / "in.pcap").write_bytes(wire_cases.capture(case))
        (FOLDER / name / "README.md").write_text(f"{case.readme}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
