# SPDX-License-Identifier: Apache-2.0
"""What every part stands on: component contract, ledger, logs, clock, state file, kernel calls."""
