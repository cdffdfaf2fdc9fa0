# SPDX-License-Identifier: Apache-2.0
"""The unexpected neighbour: a job of another team that now and then reads flow-demo's database.

Run by path: ``stock_report.py HOST``; the database's name, user and password come from the environment, as from a Secret.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

import psycopg

EVERY_S = 5.0


def main() -> None:
    """Connects, counts, disconnects, until told to stop."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.is_set():
        try:
            with psycopg.connect(
                host=sys.argv[1],
                dbname=os.environ["DATABASE_NAME"],
                user=os.environ["DATABASE_USER"],
                password=os.environ["DATABASE_PASSWORD"],
                connect_timeout=5,
            ) as connection:
                connection.execute("SELECT count(*) FROM shop_entry").fetchone()
        except psycopg.Error as error:
            print(error, flush=True)  # noqa: T201 - a pod's log is its standard output
        stop.wait(EVERY_S)


if __name__ == "__main__":
    main()
