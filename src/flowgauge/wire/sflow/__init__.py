# SPDX-License-Identifier: Apache-2.0
"""sFlow version 5: datagrams of samples of packets and of counters (sflow.org, "sFlow Version 5", July 2004)."""
