# SPDX-License-Identifier: Apache-2.0
"""Which page answers which path."""

from __future__ import annotations

from django.urls import path
from shop import views

urlpatterns = [
    path("", views.index),
    path("add", views.add),
    path("delete/<int:entry_id>", views.delete),
    path("slow", views.slow),
    path("health", views.health),
]
