# SPDX-License-Identifier: Apache-2.0
"""Stages: functions FlowBatch → FlowBatch, wired in one place."""
