"""The drivers, what each needs, and how its program is built and run."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.languages.places import CACHE, HERE

Command = tuple[str, ...]


OPERATIONS = [
    "write",
    "expected version",
    "retry",
    "batch",
    "condition",
    "read stream",
    "follow",
    "consume",
    "listen",
]
"""What each program does, in this order, and prints a line of."""


class Language(NamedTuple):
    """How the folder of a language is built, in a copy of it in the cache."""

    probes: tuple[Command, ...]
    """Each succeeds where a program that is used is, or a driver of Debian."""
    packages: str = ""
    """Debian's packages with both; none where the build fetches the driver."""
    fetch: Command = ()
    """Asks a registry for the driver. If none answers, this is told as a missing runtime is."""
    builds: tuple[Command, ...] = ()


class Driver(NamedTuple):
    """A program, by the path below this folder, and the command that runs it."""

    name: str
    program: str
    run: Command
    errors: int = 0
    """How many errors of the server the client prints itself."""
    rows: bool = False
    """Whether it follows and consumes by the functions that return rows, not one JSON object."""
    two_sessions: bool = False
    """Whether another session than the one that listens holds the bell."""

    @property
    def language(self) -> str:
        return self.program.partition("/")[0]


_WARNINGS = "-std=gnu17 -Wall -Wextra -Werror"
_PIP = ("venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")

LANGUAGES = {
    "node": Language(
        (("node", "--version"), ("npm", "--version")),
        fetch=("npm", "ci", "--prefer-offline", "--loglevel=error"),
    ),
    "go": Language(
        (("go", "version"),),
        fetch=("go", "mod", "download"),
        builds=(("go", "build", "-o", "bin/", "./..."),),
    ),
    "java": Language(
        (("java", "-version"), ("javac", "-version"), ("mvn", "--version")),
        fetch=("mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"),
        builds=(("sh", "-c", "javac -Xlint:all -Werror -cp 'jars/*' -d classes *.java"),),
    ),
    "rust": Language(
        # It links by the C compiler.
        (("cargo", "--version"), ("rustc", "--version"), ("cc", "--version")),
        fetch=("cargo", "fetch", "--quiet", "--locked"),
        builds=(("cargo", "build", "--quiet", "--locked", "--offline"),),
    ),
    "c": Language(
        (("cc", "--version"), ("pkg-config", "--exists", "libpq")),
        "gcc libpq-dev pkg-config",
        builds=(
            ("sh", "-c", f"cc {_WARNINGS} -o libpq libpq.c $(pkg-config --cflags --libs libpq)"),
        ),
    ),
    "ruby": Language((("ruby", "-e", "require 'pg'"),), "ruby-pg"),
    "php": Language(
        (("php", "-r", "exit(extension_loaded('pdo_pgsql') ? 0 : 1);"),), "php-cli php-pgsql"
    ),
    "perl": Language((("perl", "-MDBD::Pg", "-e", "1"),), "libdbd-pg-perl"),
    "psql": Language((("psql", "--version"),), "postgresql-client"),
    "python": Language(
        # Debian has the module venv without ensurepip, which it needs.
        ((sys.executable, "-c", "import ensurepip, venv"),),
        "python3-venv",
        builds=(
            (sys.executable, "-m", "venv", "venv"),
            (*_PIP, "--requirement", "requirements.txt"),
        ),
    ),
}

# psql says in words that a notification came.
_NOTIFIED = 's/^Asynchronous notification.*/{"operation": "notification"}/'
_PSQL = f"psql -X -q -f psql.sql | sed -n '{_NOTIFIED}; /^{{/p'"

DRIVERS = [
    Driver("pg", "node/pg.mjs", ("node", "pg.mjs")),
    Driver("postgres.js", "node/postgres_js.mjs", ("node", "postgres_js.mjs"), two_sessions=True),
    Driver("pgx", "go/pgx/main.go", ("bin/pgx",)),
    Driver("database/sql, pgx", "go/stdlib/main.go", ("bin/stdlib",)),
    Driver("database/sql, pq", "go/pq/main.go", ("bin/pq",), two_sessions=True),
    Driver("JDBC", "java/Jdbc.java", ("java", "-cp", "classes:jars/*", "Jdbc"), rows=True),
    Driver("tokio-postgres", "rust/src/main.rs", ("target/debug/tokio-postgres-program",)),
    Driver("libpq", "c/libpq.c", ("./libpq",), rows=True),
    Driver("ruby-pg", "ruby/pg.rb", ("ruby", "-w", "pg.rb")),
    Driver("PDO", "php/pdo.php", ("php", "-d", "error_reporting=-1", "pdo.php")),
    Driver("DBD::Pg", "perl/dbd_pg.pl", ("perl", "dbd_pg.pl")),
    Driver("psycopg2", "python/with_psycopg2.py", ("venv/bin/python", "with_psycopg2.py")),
    Driver("psql", "psql/psql.sql", ("sh", "-c", _PSQL), errors=5),
]


def missing(language: str) -> list[str]:
    """The programs that are not on this machine, do not start, or do not have the driver."""
    return [
        probe[0]
        for probe in LANGUAGES[language].probes
        if shutil.which(probe[0]) is None
        or subprocess.run(probe, capture_output=True).returncode != 0
    ]


def is_here(language: str) -> bool:
    """Whether the runtime and its driver are on this machine."""
    return not missing(language)


def why_not(language: str) -> str:
    """What is missing where a language is not here."""
    programs = missing(language)
    if not programs:
        return f"{language}: its drivers are not tested (its registry does not answer)"
    packages = LANGUAGES[language].packages
    needed = f"Debian: {packages}" if packages else f"it needs {', '.join(programs)}"
    return f"{language}: its drivers are not tested ({needed})"


def is_fetched(language: str) -> bool:
    """Fetch the driver into the folder in which a language is built; tell whether it came."""
    folder = CACHE / language
    # Over what is there, so that a build that is up to date takes no time.
    shutil.copytree(HERE / language, folder, dirs_exist_ok=True)
    fetch = LANGUAGES[language].fetch
    fails = fetch and subprocess.run(fetch, cwd=folder, timeout=600).returncode
    if fails:
        unanswered(language).touch()
    else:
        unanswered(language).unlink(missing_ok=True)
    return not fails


def was_fetched(language: str) -> bool:
    """Whether the last attempt to fetch the driver, if any, succeeded."""
    return not unanswered(language).exists()


def unanswered(language: str) -> Path:
    """A file that is there if the registry of a language did not answer."""
    return CACHE / f"{language}.unanswered"


def built(language: str) -> Path:
    """Build a language's programs; the folder in which they run."""
    folder = CACHE / language
    for build in LANGUAGES[language].builds:
        done = subprocess.run(build, cwd=folder, capture_output=True, text=True, timeout=600)
        if done.returncode:
            raise RuntimeError(f"{language}: {' '.join(build)}\n{done.stdout}{done.stderr}")
    return folder


def table() -> str:
    """The table of docs/guides/languages.md: what each program does, and by which functions."""
    lines = [" | ".join(["driver", "program", *OPERATIONS])]
    lines.append(" | ".join(["---"] * (2 + len(OPERATIONS))))
    for driver in DRIVERS:
        suffix = "" if driver.rows else "_json"
        done = dict.fromkeys(OPERATIONS, "yes")
        done["follow"] = f"`read_page{suffix}`"
        done["consume"] = f"`claim_batch{suffix}`"
        done["listen"] = "two sessions" if driver.two_sessions else "one session"
        lines.append(" | ".join([driver.name, f"`{driver.program}`", *done.values()]))
    return "".join(f"| {line} |\n" for line in lines)
