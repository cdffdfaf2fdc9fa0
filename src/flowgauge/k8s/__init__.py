# SPDX-License-Identifier: Apache-2.0
"""Kubernetes objects and events."""
