# SPDX-License-Identifier: Apache-2.0
"""The scene's Kubernetes objects, as the API server would give them, and the log of watch events that the collector follows."""
