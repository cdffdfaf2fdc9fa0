# SPDX-License-Identifier: Apache-2.0
"""Settings of the demo's Django project; everything that differs between runs comes from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

SECRET_KEY = os.environ["DJANGO_SECRET_KEY"]
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
WSGI_APPLICATION = "wsgi.application"
INSTALLED_APPS = ["shop"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
    }
]
_POSTGRESQL: dict[str, Any] = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": os.environ["DATABASE_SERVICE_NAME"],
    "PORT": os.environ.get("DATABASE_SERVICE_PORT", "5432"),
    "NAME": os.environ["DATABASE_NAME"],
    "USER": os.environ["DATABASE_USER"],
    "PASSWORD": os.environ["DATABASE_PASSWORD"],
    "OPTIONS": {"connect_timeout": 5},
}
DATABASES = {
    # One connection a worker thread, kept open: the long-lived flow.
    "default": {**_POSTGRESQL, "CONN_MAX_AGE": None},
    # A connection of its own for each slow report, as a reporting replica would have: the short flows.
    "reports": {**_POSTGRESQL, "CONN_MAX_AGE": 0},
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LOGGING_CONFIG = None
