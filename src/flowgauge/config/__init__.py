# SPDX-License-Identifier: Apache-2.0
"""The FlowCollector document as typed settings."""
