# SPDX-License-Identifier: Apache-2.0
"""Memory that threads let go of and need again."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading
import numpy as np
from flowgauge.runtime.linux import keep_freed_memory

def batch():
    held = [np.zeros(100_000, np.uint8) + 1 for _ in range(60)]

def work():
    for _ in range(5):
        batch()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(50):
        batch()
    print(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)

if sys.argv[1] == "keep":
    keep_freed_memory()
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def faults(how: str) -> int:
    """Page faults of a thread that needs 6 MB again and again."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc")
def test_a_thread_that_needs_as_much_again_and_again_asks_the_kernel_once() -> None:
    kept, usual = faults("keep"), faults("leave")
    assert usual > 10_000
    assert kept < usual / 20
