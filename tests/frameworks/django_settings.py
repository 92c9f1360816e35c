"""Django in this process, on the server of the tests: one database under several aliases."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict


def configure(conninfo: str) -> None:
    """Let Django's aliases lead to a database of the tests' server.

    Django is configured once in a process, and tests of other databases may have come before.
    """
    found = conninfo_to_dict(conninfo)
    if not settings.configured:
        _set_up(found)
    from django.db import connections

    connections.close_all()
    for wrapper in (connections[alias] for alias in connections if alias != "lite"):
        if wrapper.settings_dict["NAME"] != found["dbname"]:
            wrapper.close_pool()
            wrapper.settings_dict["NAME"] = found["dbname"]


def _set_up(found: dict[str, Any]) -> None:
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

    try:
        yield
    finally:
        connections.close_all()
