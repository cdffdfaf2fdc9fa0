# SPDX-License-Identifier: Apache-2.0
"""The supervisor: starts, watches and restarts the parts of one machine."""
