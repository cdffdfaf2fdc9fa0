# SPDX-License-Identifier: Apache-2.0
"""Faults put into the running demo by command: ``kinds`` they are, ``traffic`` that some need, ``command`` that runs one."""
