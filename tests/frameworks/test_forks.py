"""A process that forks: stores on a framework's connections."""

import subprocess
import sys

import pytest

from tests.frameworks.engines import url_of

# The parent uses the store; a child tries to, as the guides say not to, and then as they say.
FORKED = """
import os, sys
import pgstore
from pgstore import MessageStore
from tests.frameworks.messages import Paid

{made}

def child():
    try:
        store.safe_position()
    except pgstore.PgstoreError as error:
        assert "forked" in str(error)
    else:
        return 1
    {forget}
    return 0 if make().safe_position() >= 0 else 2

store = make()
store.safe_position()
pid = os.fork()
if pid == 0:
    try:
        code = child()
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        code = 3
    os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
store.safe_position()  # on its connection, which the child has left alone
"""

ENGINE = """
from sqlalchemy import create_engine
engine = create_engine({url!r})

def make():
    return MessageStore(engine, store={name!r}, messages=Paid)
"""

DJANGO = """
from tests.frameworks.django_settings import configure
configure({conninfo!r})
from django.db import connection, connections

def make():
    return MessageStore(connection, store={name!r}, messages=Paid)
"""


@pytest.mark.parametrize("framework", ["engine", "django"])
def test_a_store_that_was_used_before_the_fork_is_refused_in_the_child(
    framework: str, conninfo: str, shared: str
) -> None:
    url = url_of(conninfo).render_as_string(hide_password=False)
    template, forget = {
        "engine": (ENGINE, "engine.dispose(close=False)"),
        "django": (DJANGO, "connections['default'].connection = None"),
    }[framework]
    made = template.format(url=url, conninfo=conninfo, name=shared)
    done = subprocess.run(
        [sys.executable, "-c", FORKED.format(made=made, forget=forget)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
