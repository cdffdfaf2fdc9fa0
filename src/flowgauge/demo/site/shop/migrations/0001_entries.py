# SPDX-License-Identifier: Apache-2.0
"""The table of entries."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):  # type: ignore[misc]
    initial = True
    operations: ClassVar[list[object]] = [
        migrations.CreateModel(
            name="Entry",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("text", models.CharField(max_length=200)),
                ("made", models.DateTimeField(auto_now_add=True)),
            ],
        )
    ]
