# SPDX-License-Identifier: Apache-2.0
"""The pages: a list with a form, a report that takes its time, and the health check that the node asks for."""

from __future__ import annotations

import os
import socket
import time

from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from shop.models import Entry

_SHOWN = 15
_KEPT = 500
"""Rows beyond this many are removed when one is added, so that the demo's database stays small."""
_SLOW_S = 0.4


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    started = time.perf_counter()
    entries = list(Entry.objects.order_by("-id")[:_SHOWN])
    count = Entry.objects.count()
    page = {
        "entries": entries,
        "count": count,
        "pod": os.environ.get("POD_NAME", socket.gethostname()),
        "node": os.environ.get("NODE_NAME", ""),
        "took_ms": round((time.perf_counter() - started) * 1000, 1),
    }
    return render(request, "index.html", page)


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    text = request.POST.get("text", "").strip()[:200]
    if text:
        newest = Entry.objects.create(text=text)
        Entry.objects.filter(id__lte=newest.id - _KEPT).delete()
    return redirect("/")


@require_POST
def delete(request: HttpRequest, entry_id: int) -> HttpResponse:
    Entry.objects.filter(id=entry_id).delete()
    return redirect("/")


@require_GET
def slow(request: HttpRequest) -> HttpResponse:
    """Counts with a query that sleeps in the database, over a connection of its own."""
    with connections["reports"].cursor() as cursor:
        cursor.execute("SELECT pg_sleep(%s), (SELECT count(*) FROM shop_entry)", [_SLOW_S])
        count = cursor.fetchone()[1]
    return HttpResponse(f"{count} entries, counted slowly\n", content_type="text/plain")


@require_GET
def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok\n", content_type="text/plain")
