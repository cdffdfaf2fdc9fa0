# SPDX-License-Identifier: Apache-2.0
"""What gunicorn loads: brings the tables up to date, then serves.

Several pods start at once; an advisory lock lets one of them make the tables. A database that is not there yet is awaited, as a
container that is started again and again would.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import OperationalError, connection

_LOCK = 5_432
_PATIENCE_S = 30.0


def _migrate() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            call_command("migrate", verbosity=0)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _migrate_patiently() -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            _migrate()
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            connection.close()
            time.sleep(0.3)
        else:
            connection.close()
            return


application = get_wsgi_application()
_migrate_patiently()
