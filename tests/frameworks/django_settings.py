"""Django in this process, on the server of the tests: one database under several aliases."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict


def configure(conninfo: str) -> None:
    """Configure Django; once in a process."""
    if settings.configured:
        return
    found = conninfo_to_dict(conninfo)
    place = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": found["dbname"],
        "USER": found["user"],
        "PASSWORD": found.get("password", ""),
        "HOST": found["host"],
        "PORT": str(found.get("port", "")),
    }

    def alias(**more: Any) -> dict[str, Any]:
        return {**place, **more}

    settings.configure(
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"],
        SECRET_KEY="of the tests",
        USE_TZ=True,
        TIME_ZONE="Asia/Tokyo",
        DATABASES={
            "default": alias(),
            "other": alias(),
            "bound": alias(OPTIONS={"server_side_binding": True}),
            "prepared": alias(OPTIONS={"prepare_threshold": 0}, CONN_HEALTH_CHECKS=True),
            "pooled": alias(OPTIONS={"pool": {"min_size": 1, "max_size": 1, "timeout": 20}}),
            "serializable": alias(OPTIONS={"isolation_level": 4}, CONN_MAX_AGE=None),
            "manual": alias(AUTOCOMMIT=False),
            "lite": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
        },
        ALLOWED_HOSTS=["*"],
        CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}},
        ROOT_URLCONF="tests.frameworks.django_urls",
    )
    django.setup()


@contextmanager
def django_on(conninfo: str) -> Iterator[None]:
    """Let Django's default alias lead to another database of the tests' server."""
    configure(conninfo)
    from django.db import connections

    names = [connections[alias].settings_dict for alias in connections if alias != "lite"]
    before = names[0]["NAME"]
    connections.close_all()
    for each in names:
        each["NAME"] = conninfo_to_dict(conninfo)["dbname"]
    try:
        yield
    finally:
        connections.close_all()
        for each in names:
            each["NAME"] = before
