"""Run every code block of README.md and docs/, and compare what it gives with what is printed.

The blocks of a page run in order, in one Python namespace and one fresh database, which stands
for `postgresql://localhost/demo` and for libpq's environment. If the page has started an embedded
`server`, its SQL runs there.

What an example promises is written in it, `…` matching anything:

- a comment directly below a Python statement is the value of that expression or assignment, or
  what the statement printed (prose goes above a statement, after an empty line);
- a comment at the end of a line is a value if it looks like one, and an error that must be
  raised if it begins with the name of an exception: `# MessageNotFoundError: no such id`;
- in SQL, `-- MS001: …` at the end of a statement is the SQLSTATE that it must raise;
- a `text` block below a block, in the same section, is what that block printed, for SQL as psql
  prints it: all of it, or its last statement.
"""

import ast
import asyncio
import builtins
import contextlib
import inspect
import io
import itertools
import json
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

import pgstore
from pgstore.embedded import Server
from tests.frameworks.django_settings import django_on

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
GUIDES = ROOT / "docs" / "guides"
APPLICATION = GUIDES / "application.md"
# Their blocks are files: `following.py` runs them.
FOLLOWED = [
    APPLICATION,
    *(
        GUIDES / f"{name}.md"
        for name in ("django", "fastapi", "migrations", "relay", "task-queues")
    ),
]
PAGES = [
    README,
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page not in FOLLOWED),
]
DEMO = "postgresql://localhost/demo"
SQLALCHEMYS_DEMO = "postgresql+psycopg://localhost/demo"

KNOWN = {"python", "sql", "text", "console", "toml", "json", "mermaid"}
# Of files of tests/languages, which runs them; all but the one of .NET.
PROGRAMS = {"c", "csharp", "go", "java", "js", "perl", "php", "py", "ruby", "rust"}
INCLUDED = PROGRAMS | {"ini", "sh", "yaml"}  # and of files of tests/patroni
FENCE = re.compile(r"^( *)```(.*)\n((?:.*\n)*?)\1```$|^(#+ .*)$", re.MULTILINE)

VALUE = re.compile(r"(?s)[A-Z]\w*\(.*\)|[(\[{].*[)\]}]|'.*'|b'.*'|-?\d+|True|False|None")
ERROR = re.compile(r"(?:\w+\.)*([A-Z]\w*)(?:: .*)?")
SQL_ERROR = re.compile(r"--\s*([0-9A-Z]{5}): ")

# Strings, quoted names, dollar-quoted bodies and comments hide a semicolon.
STATEMENT = re.compile(
    r"""(?sx)
    (?: [^;'"$\\-] | '(?:[^']|'')*' | "[^"]*" | \$(\w*)\$.*?\$\1\$ | --[^\n]* | [$-] )+
    (?: ; | \\gset )?
    (?: [ ]*--[^\n]* )?
    """
)


class Block(NamedTuple):
    language: str
    code: str
    line: int
    output: str | None
    """The text block below it."""


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    blocks: list[Block] = []
    below_heading = True
    for match in FENCE.finditer(text):
        indent, language, code, heading = match.groups()
        if heading is not None:
            below_heading = True
            continue
        code = re.sub(f"^{indent}", "", code, flags=re.MULTILINE)
        line = text.count("\n", 0, match.start()) + 1
        if language == "text" and not below_heading and blocks[-1].language in ("python", "sql"):
            blocks[-1] = blocks[-1]._replace(output=code)
        else:
            blocks.append(Block(language, code, line, None))
        below_heading = False
    return blocks


def normalised(text: str) -> str:
    """Join lines, drop the rules of psql's tables, make white space uniform."""
    lines = [line for line in text.splitlines() if not re.fullmatch(r"[-+ ]*-[-+ ]*", line)]
    return re.sub(r"(?<=[(\[{]) | (?=[)\]}])", "", " ".join(" ".join(lines).split()))


def matches(actual: str, expected: str) -> bool:
    pattern = ".*?".join(re.escape(part) for part in normalised(expected).split("…"))
    return re.fullmatch(pattern, normalised(actual), re.DOTALL) is not None


class Page:
    """Where the blocks of one page run."""

    def __init__(self, path: Path, conninfo: str, module: ModuleType) -> None:
        self.path = path
        self.conninfo = conninfo
        self.namespace = vars(module)
        self.runner = asyncio.Runner()
        self.printed = io.StringIO()
        self.variables: dict[str, object] = {}
        self.namespace.update(
            __place__=self.printed.tell,
            __value__=self.check_value,
            __printed__=self.check_printed,
            __raises__=self.check_raises,
        )

    def run_python(self, block: Block) -> None:
        tree = ast.parse(block.code, filename=str(self.path))
        Instrument(block, self.conninfo).visit(tree)
        ast.increment_lineno(ast.fix_missing_locations(tree), block.line)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(tree, str(self.path), "exec", flags=flags)
        start = self.printed.tell()
        with contextlib.redirect_stdout(self.printed):
            result = eval(code, self.namespace)
            if inspect.iscoroutine(result):
                self.runner.run(result)
        if block.output is not None:
            self.compare(self.printed.getvalue()[start:], block.output, block.line)

    def compare(self, actual: str, expected: str, line: int) -> None:
        if not matches(actual, expected):
            pytest.fail(f"{self.path}:{line}\nthe page says\n{expected}\nbut it is\n{actual}")

    def check_value(self, start: int, value: object, expected: str, line: int) -> None:
        printed = self.printed.getvalue()[start:]
        self.compare(printed if value is None and printed else repr(value), expected, line)

    @contextlib.contextmanager
    def check_printed(self, expected: str, line: int) -> Iterator[None]:
        start = self.printed.tell()
        yield
        self.compare(self.printed.getvalue()[start:], expected, line)

    @contextlib.contextmanager
    def check_raises(self, name: str, line: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if name not in [cls.__name__ for cls in type(error).__mro__]:
                raise
        else:
            pytest.fail(f"{self.path}:{line}\nthe page says {name}, but nothing was raised")

    def run_sql(self, block: Block, conn: psycopg.Connection) -> None:
        outputs = []
        for match in STATEMENT.finditer(block.code):
            statement = match.group().strip()
            if not re.sub(r"--.*", "", statement).strip(" ;\n"):
                continue
            line = block.line + block.code.count("\n", 0, match.end())
            refused = SQL_ERROR.search(statement)
            try:
                with conn.cursor() as cursor:
                    cursor.execute(self.with_variables(statement).encode())
                    if statement.endswith(r"\gset"):
                        self.keep_row(cursor)
                    else:
                        outputs.append(psql_output(cursor))
            except psycopg.Error as error:
                expected = refused.group(1) if refused else None
                if error.sqlstate != expected and not (block.output or "").startswith("ERROR"):
                    raise AssertionError(f"{self.path}:{line}: {error}") from error
                outputs.append(psql_error(error))
            else:
                if refused:
                    pytest.fail(f"{self.path}:{line}\nthe page says {refused.group(1)}")
        if block.output is not None and not matches(outputs[-1], block.output):
            self.compare("\n".join(outputs), block.output, block.line)

    def connect(self) -> psycopg.Connection:
        server = self.namespace.get("server")
        conninfo = server.conninfo if isinstance(server, Server) else self.conninfo
        return psycopg.connect(conninfo, autocommit=True)

    def keep_row(self, cursor: psycopg.Cursor) -> None:
        names = [column.name for column in cursor.description or ()]
        (row,) = cursor.fetchall()
        self.variables = dict(zip(names, row, strict=True))

    def with_variables(self, statement: str) -> str:
        """The statement with the variables that a `\\gset` before it has set, as psql does."""
        text = statement.removesuffix(r"\gset")
        return re.sub(
            r"(?<!:):(\w+)", lambda found: str(self.variables.get(found[1], found[0])), text
        )

    def close(self) -> None:
        for value in list(self.namespace.values()):
            if isinstance(value, pgstore.MessageStore):
                value.close()
            elif isinstance(value, pgstore.AsyncMessageStore):
                self.runner.run(value.aclose())
        for value in list(self.namespace.values()):
            if isinstance(value, Engine):
                value.dispose()
            elif isinstance(value, AsyncEngine):
                self.runner.run(value.dispose())
        for value in list(self.namespace.values()):
            if isinstance(value, Server):
                value.stop()
        self.runner.close()


class Instrument(ast.NodeTransformer):
    """Turn the comments of a block into calls of the page's checks."""

    def __init__(self, block: Block, conninfo: str) -> None:
        self.lines = block.code.splitlines()
        self.first_line = block.line
        self.conninfo = conninfo

    def visit(self, node: ast.AST) -> ast.AST | list[ast.stmt]:
        super().visit(node)
        ignored = (
            ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom
        )
        if isinstance(node, ast.stmt) and not isinstance(node, ignored):
            comment = self.comment_below(node) or self.comment_behind(node)
            if comment is not None:
                return self.checked(node, comment)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        return node  # a comment there is prose

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if node.value == DEMO:
            node.value = self.conninfo
        elif node.value == SQLALCHEMYS_DEMO:
            node.value = "postgresql+psycopg://"  # libpq's environment, for this page's database
        return node

    def comment_below(self, node: ast.stmt) -> str | None:
        prefix = " " * node.col_offset + "#"
        lines = itertools.takewhile(lambda line: line.startswith(prefix), self.below(node))
        return "\n".join(line.removeprefix(prefix).strip() for line in lines) or None

    def below(self, node: ast.stmt) -> list[str]:
        return self.lines[node.end_lineno or 0 :]

    def comment_behind(self, node: ast.stmt) -> str | None:
        if hasattr(node, "body"):
            return None  # it belongs to the last statement of the body
        line = self.lines[(node.end_lineno or 0) - 1].encode()
        comment = line[node.end_col_offset :].decode().strip().removeprefix("#").strip()
        return comment if VALUE.fullmatch(comment) or self.error_name(comment) else None

    def error_name(self, comment: str) -> str | None:
        match = ERROR.fullmatch(comment)
        if match is None:
            return None
        name = match.group(1)
        known = [getattr(place, name, None) for place in (builtins, pgstore, psycopg.errors)]
        found = any(isinstance(cls, type) and issubclass(cls, Exception) for cls in known)
        return name if found or name.endswith("Error") else None

    def checked(self, node: ast.stmt, comment: str) -> list[ast.stmt]:
        line = self.first_line + (node.end_lineno or 0)
        match node, self.error_name(comment):
            case _, str(name):
                return [wrapped(node, f"__raises__({name!r}, {line})")]
            case ast.Expr(value=value), None:
                return [ast.copy_location(value_check(value, comment, line), node)]
            case ast.Assign(targets=[ast.Name(id=target)]), None:
                return [node, value_check(ast.Name(target, ast.Load()), comment, line)]
            case _:
                return [wrapped(node, f"__printed__({comment!r}, {line})")]


def expression(code: str) -> ast.expr:
    return ast.parse(code, mode="eval").body


def value_check(value: ast.expr, comment: str, line: int) -> ast.Expr:
    arguments = [expression("__place__()"), value, ast.Constant(comment), ast.Constant(line)]
    return ast.Expr(ast.Call(expression("__value__"), arguments, []))


def wrapped(node: ast.stmt, context: str) -> ast.With:
    return ast.copy_location(ast.With([ast.withitem(expression(context))], [node]), node)


def psql_output(cursor: psycopg.Cursor) -> str:
    """Format a result as psql does, apart from the white space that aligns its columns."""
    result = cursor.pgresult
    if result is None or cursor.description is None:
        return cursor.statusmessage or ""
    rows = [" | ".join(column.name for column in cursor.description)]
    for row in range(result.ntuples):
        values = [result.get_value(row, column) or b"" for column in range(result.nfields)]
        rows.append(" | ".join(value.decode() for value in values))
    return "\n".join([*rows, f"({result.ntuples} row{'s' * (result.ntuples != 1)})"])


def psql_error(error: psycopg.Error) -> str:
    lines = {
        "ERROR": error.diag.message_primary,
        "DETAIL": error.diag.message_detail,
        "HINT": error.diag.message_hint,
    }
    return "\n".join(f"{title}:  {text}" for title, text in lines.items() if text)


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def database(conninfo: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """Create a database for one page; answer its connection string."""
    name = sql.Identifier(f"docs_{uuid.uuid4().hex}")
    page = request.getfixturevalue("page")
    roles = re.findall(r"CREATE (?:ROLE|USER) (\w+)", page.read_text())
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(name))
        yield make_conninfo(conninfo, dbname=name.as_string().strip('"'))
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        for role in roles:
            conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_examples_do_what_the_page_says(
    page: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in conninfo_to_dict(database).items():
        monkeypatch.setenv("PGDATABASE" if key == "dbname" else f"PG{key.upper()}", str(value))
    # Type annotations of the page's classes are looked up in their module.
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    with (
        contextlib.closing(Page(page, database, module)) as running,
        contextlib.ExitStack() as connections,
    ):
        if "from django" in page.read_text():
            connections.enter_context(django_on(database))
        conn = None
        for block in blocks_of(page):
            if block.language == "python":
                running.run_python(block)
            elif block.language == "sql":
                if conn is None:
                    conn = connections.enter_context(running.connect())
                running.run_sql(block, conn)


def test_blocks_are_of_a_known_kind() -> None:
    wrong = []
    for page in PAGES:
        for block in blocks_of(page):
            try:
                if block.language == "json":
                    json.loads(block.code)
                elif block.language == "toml":
                    tomllib.loads(block.code)
                elif block.language in INCLUDED and block.code.startswith("--8<--"):
                    continue
                elif block.language not in KNOWN:
                    raise ValueError(block.language)
            except ValueError as error:
                wrong.append((page_id(page), block.line, str(error)))
    assert wrong == []


def test_every_fence_is_seen() -> None:
    def unseen(text: str) -> int:
        seen = sum(2 for match in FENCE.finditer(text) if match.group(4) is None)
        return len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE)) - seen

    found = {page_id(page): unseen(page.read_text()) for page in PAGES}
    assert {page: count for page, count in found.items() if count} == {}


def test_readme_runs_twice_as_the_script_that_a_newcomer_makes_of_it() -> None:
    script = "\n".join(block.code for block in blocks_of(README) if block.language == "python")
    # With `pgstore[embedded]` alone: what the command line needs cannot be imported.
    script = f"import sys; sys.modules.update(typer=None, rich=None)\n{script}"
    command = [sys.executable, "-W", "error", "-c", script]
    printed = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        printed.append(done.stdout)
    assert printed[0] == printed[1]
    assert "is at version 1, expected version 0" in printed[0]


def test_code_of_the_first_pages_is_not_cut_off() -> None:
    """At 1,400 pixels a code block of the site shows 80 characters."""
    long = [
        f"{page_id(page)}:{block.line}: {line}"
        for page in (README, ROOT / "docs/index.md")
        for block in blocks_of(page)
        for line in block.code.splitlines()
        if len(line) > 80
    ]
    assert long == []
