"""Places of stores: which part of a connection string is the place, and which the program's."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from pgstore import InvalidArgumentError
from pgstore._core.places import connected, place_of

OWN = "host=directory hostaddr=10.0.0.9 port=7000 dbname=places user=me password=x sslmode=require"


@pytest.fixture(autouse=True)
def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGSERVICE", "PGUSER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("conninfo", "place"),
    [
        ("host=db1 dbname=shop", "host=db1 port=5432 dbname=shop"),
        (
            "postgresql://me:secret@db1:6000/shop?sslmode=require&connect_timeout=3",
            "host=db1 port=6000 dbname=shop",
        ),
        ("postgresql+psycopg://me:secret@db1/shop", "host=db1 port=5432 dbname=shop"),
        (
            "postgresql://a:1,b:2/shop?target_session_attrs=read-write",
            "host=a,b port=1,2 dbname=shop target_session_attrs=read-write",
        ),
        ("hostaddr=10.0.0.1 dbname=shop", "hostaddr=10.0.0.1 port=5432 dbname=shop"),
        ("host='/my run' dbname=shop", r"host='/my run' port=5432 dbname=shop"),
        ("service=bank user=me", "service=bank"),
    ],
)
def test_place_is_host_port_and_database(conninfo: str, place: str) -> None:
    assert place_of(conninfo) == place
    assert place_of(place) == place


def test_place_has_what_the_environment_says_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program on another machine has another environment."""
    monkeypatch.setenv("PGHOST", "db1")
    monkeypatch.setenv("PGPORT", "6000")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "primary")
    assert place_of("dbname=shop") == "host=db1 port=6000 dbname=shop target_session_attrs=primary"
    assert place_of("service=bank") == "service=bank"
    monkeypatch.setenv("PGDATABASE", "other")
    assert place_of("") == "host=db1 port=6000 dbname=other target_session_attrs=primary"


@pytest.mark.parametrize("conninfo", ["", "host=db1", "neither", "host=db1 dbname=" + "x" * 2000])
def test_place_that_says_too_little_or_too_much_is_refused(conninfo: str) -> None:
    with pytest.raises(InvalidArgumentError):
        place_of(conninfo)


@pytest.mark.parametrize(
    ("place", "own", "found"),
    [
        (
            "host=db2 port=6000 dbname=shop",
            OWN,
            "user=me password=x sslmode=require host=db2 port=6000 dbname=shop",
        ),
        # What people have written into the directory beside the place is not followed.
        (
            "host=db2 dbname=shop user=evil sslmode=disable password=y",
            "host=directory",
            "host=db2 dbname=shop",
        ),
        # The file of the program's service has its user and password.
        (
            "host=db2 port=6000 dbname=shop",
            "service=places",
            "service=places host=db2 port=6000 dbname=shop",
        ),
        ("service=bank", "service=places user=me", "user=me service=bank"),
        (
            "host=a,b dbname=shop",
            "host=directory target_session_attrs=primary user=me",
            "user=me host=a,b dbname=shop",
        ),
    ],
)
def test_program_connects_to_the_place_with_all_else_of_its_own(
    place: str, own: str, found: str
) -> None:
    assert conninfo_to_dict(connected(place, own)) == conninfo_to_dict(found)


@pytest.mark.parametrize("place", ["neither", "host=db1 dbname", "postgresql://%zz", "host=a\0"])
def test_place_that_is_none_is_refused(place: str) -> None:
    with pytest.raises(InvalidArgumentError):
        connected(place, OWN)
