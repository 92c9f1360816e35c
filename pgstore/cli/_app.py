"""The application: the options that every command takes, and how a command is made."""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any, Concatenate, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from pgstore._core.version import package_version
from pgstore.cli._call import Call, Settings
from pgstore.cli._errors import USAGE, format_usage, reported

F = TypeVar("F", bound=Callable[Concatenate[Call, ...], None])

COMMON = "Everywhere"
SERVERS = "Several servers"

Completion = Callable[[typer.Context, str], list[str]]


def _within(least: float, most: float | None = None) -> Callable[[Any], Any]:
    """Refuse numbers outside of these bounds: a callback, as Typer's own would be in the help."""

    def check(value: Any) -> Any:
        if value is not None and not (value >= least and (most is None or value <= most)):
            bounds = f"at least {least}" if most is None else f"{least} to {most}"
            raise typer.BadParameter(f"must be {bounds}, not {value}")
        return value

    return check


def argument(metavar: str, help: str, *, complete: Completion | None = None) -> Any:
    """An argument of a command; `complete` offers its values to a shell."""
    return typer.Argument(metavar=metavar, help=help, autocompletion=complete)


def option(
    metavar: str,
    help: str,
    *names: str,
    least: float | None = None,
    most: float | None = None,
    complete: Completion | None = None,
    **more: Any,
) -> Any:
    """An option with a value; a number may have bounds.

    Without `names` it has that of its parameter. `more` is Typer's.
    """
    if least is not None:
        more["callback"] = _within(least, most)
    return typer.Option(*names, metavar=metavar, help=help, autocompletion=complete, **more)


def flag(help: str, *names: str, **more: Any) -> Any:
    """An option without a value. Typer would add a --no-… to a name that it makes itself."""
    return typer.Option(*names, help=help, **more)


Yes = Annotated[bool, flag("Do not ask.", "--yes")]
InDirectory = Annotated[
    str | None,
    option(
        "CONNINFO", "The database that has the directory of stores.", envvar="PGSTORE_DIRECTORY"
    ),
]


class _AsGiven:
    """Takes defaults and texts as they are, and leaves other values to Typer.

    Typer converts each value by pydantic, whose import takes longer than most commands' work.
    """

    def __init__(self, parameter: Any) -> None:
        self._of_typer = parameter.get_runtime_param

    def __call__(self) -> "_AsGiven":
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == param.default and not isinstance(value, list | tuple):
            return value
        kind = param.type_descriptor.annotation
        if isinstance(value, str) and kind in (str, str | None) and not param.multiple:
            return value
        return self._of_typer().coerce(value, param=param, ctx=ctx)


class _Natural:
    """Help that names values as the page of the command line does: STREAM, no {STREAM} <str>.

    That sets what Typer has no options for. Older ones than pyproject.toml asks for show the types
    all the same; of newer ones tests/cli/test_reference.py tells.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in params:
            if hasattr(each, "get_runtime_param") and "get_runtime_param" not in vars(each):
                each.get_runtime_param = _AsGiven(each)
            if getattr(each, "is_flag", False):
                each.metavar = ""
            elif getattr(each, "param_type_name", "") == "argument":
                each.display_type_rich = lambda ctx: ""  # its name says what it is
        return params

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces: list[str] = super().collect_usage_pieces(ctx)  # type: ignore[misc]
        return [each.removeprefix("{").removesuffix("}") for each in pieces]


class _Command(_Natural, TyperCommand):
    pass


class _Group(_Natural, TyperGroup):
    pass


class _Commands(_Group):
    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command and exit; wrong usage is printed as every other error is."""
        try:
            code = super().main(*args, **options | {"standalone_mode": False})
        except Exception as error:
            if not hasattr(error, "format_message"):  # Typer's, which has moved between versions
                raise
            if said := format_usage(error):
                sys.stderr.write(said + "\n")
            sys.exit(USAGE)
        sys.exit(code)


def _flowing(text: str) -> str:
    """The text with each paragraph in one line, but for those that keep their lines."""
    return "\n\n".join(
        "\n".join(map(_kept, part.splitlines()[1:]))
        if part.startswith("\b")
        else " ".join(part.split())
        for part in text.split("\n\n")
    )


def _kept(line: str) -> str:
    """A line with its indentation, which Typer takes from lines that begin with spaces."""
    return f"[not dim]{line}[/not dim]"


_HELP = """\
An event store in PostgreSQL.

A first try, with nothing but pip install 'pgstore\\[cli,embedded]':

\b
  pgstore write account-1 Deposited '{"amount": 10}'
  pgstore read account-1

\b
Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  the stream is at another version than expected
  4  not found
  5  no connection
  6  the store is missing, or of another version
  130  interrupted
"""

app = typer.Typer(
    name="pgstore",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pgstore {package_version()}")
        raise typer.Exit


@app.callback(help=_flowing(_HELP))
def _pgstore(
    ctx: typer.Context,
    conninfo: Annotated[
        str | None,
        option(
            "CONNINFO",
            "Connection string of the database. Otherwise PGSTORE_CONNINFO, then libpq's"
            " environment (PGHOST, PGSERVICE, …), then an embedded server in your data folder.",
            rich_help_panel=COMMON,
        ),
    ] = None,
    store: Annotated[
        str | None,
        option(
            "NAME",
            "The store: a schema's name. Otherwise PGSTORE_STORE, then pgstore.",
            rich_help_panel=COMMON,
        ),
    ] = None,
    json: Annotated[
        bool, flag("For programs: one JSON document a line.", "--json", rich_help_panel=COMMON)
    ] = False,
    debug: Annotated[
        bool, flag("Show the traceback of an error.", "--debug", rich_help_panel=COMMON)
    ] = False,
    version: Annotated[
        bool, flag("Show the version.", "--version", is_eager=True, callback=_tell_version)
    ] = False,
) -> None:
    """Keep the options that stand before the command."""
    ctx.obj = Settings().changed(conninfo=conninfo, store=store, json=json, debug=debug)


def command(name: str, *, panel: str | None = None, of: typer.Typer = app) -> Callable[[F], F]:
    """Make a command of a function whose first parameter is the `Call`.

    The command takes the options that are everywhere too, and tells errors in one line.
    """

    def register(function: F) -> F:
        help = _flowing(inspect.getdoc(function) or "")
        of.command(name, cls=_Command, rich_help_panel=panel, help=help)(
            _with_common_options(function)
        )
        return function

    return register


def group(name: str, *, panel: str, help: str) -> typer.Typer:
    """Make a command that has commands."""
    made = typer.Typer(cls=_Group, no_args_is_help=True, help=help)
    app.add_typer(made, name=name, rich_help_panel=panel)
    return made


def _refuse_long_numbers(ctx: typer.Context, values: dict[str, Any]) -> None:
    """Refuse numbers that the server's bigint cannot hold: its error names no option."""
    for each in ctx.command.params:
        value = values.get(each.name or "")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise typer.BadParameter(
                f"must be a number of 64 bits, not {value}", ctx=ctx, param_hint=each.opts[0]
            )


def _with_common_options(function: Callable[..., None]) -> Callable[..., None]:
    """The command of a function: it takes the options of `_pgstore`, too, but for --version."""
    _, *own = inspect.signature(function, eval_str=True).parameters.values()
    context, *common, _ = inspect.signature(_pgstore).parameters.values()

    @functools.wraps(function)
    def run(ctx: typer.Context, **values: Any) -> None:
        _refuse_long_numbers(ctx, values)
        settings: Settings = ctx.obj.changed(
            **{each.name: values.pop(each.name) for each in common}
        )
        with reported(settings.debug):
            function(Call(settings), **values)

    parameters = [context, *own, *common]
    # Both: which of them Typer reads depends on its version.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
