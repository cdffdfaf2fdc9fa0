# SPDX-License-Identifier: Apache-2.0
"""One table."""

from __future__ import annotations

from django.db import models


class Entry(models.Model):  # type: ignore[misc]
    id = models.BigAutoField(primary_key=True)
    text = models.CharField(max_length=200)
    made = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.text)
