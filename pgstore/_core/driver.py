"""psycopg, which is of no use without libpq."""

try:
    import psycopg  # noqa: F401 - whether it can be imported is the question
except ImportError as error:
    raise ImportError(
        "psycopg finds no libpq, PostgreSQL's client library: install it with "
        "pip install 'pgstore[binary]', or with the package of your system "
        f"(libpq5 on Debian, libpq on Fedora and Homebrew). psycopg says: {error}"
    ) from error
