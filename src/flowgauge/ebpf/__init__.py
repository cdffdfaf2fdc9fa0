# SPDX-License-Identifier: Apache-2.0
"""eBPF objects, maps and links through libbpf."""
