# SPDX-License-Identifier: Apache-2.0
"""The demo's report: what the store holds against what the kernel counted and what the scene knows.

``rows`` reads every stored flow once, ``accuracy`` and ``identity`` judge them, ``edges``, ``ledger`` and ``transfer`` look at
sums, ``checks`` says what held, ``document`` makes the JSON.
"""
