# SPDX-License-Identifier: Apache-2.0
"""The node agent: drains the eBPF maps into batches and exports them as IPFIX."""
