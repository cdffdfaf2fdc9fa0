# SPDX-License-Identifier: Apache-2.0
"""Flows as NetObserv's eBPF agents send them: protobuf messages of package ``pbflow``, by gRPC or Kafka."""
