# SPDX-License-Identifier: Apache-2.0
"""The flow-demo scene: nodes and pods as network namespaces, a real Django and a real PostgreSQL."""
