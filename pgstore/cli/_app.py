"""The application: the options that every command takes, and how a command is made."""

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from typer.core import TyperCommand, TyperGroup

from pgstore._core.version import package_version
from pgstore.cli._call import Call, Settings
from pgstore.cli._errors import USAGE, format_usage, reported

P = ParamSpec("P")

COMMON = "Everywhere"
SERVERS = "Several servers"

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
InDirectory = Annotated[
    str | None,
    typer.Option(
        "--directory",
        metavar="CONNINFO",
        envvar="PGSTORE_DIRECTORY",
        help="The database that has the directory of stores.",
    ),
]

_Conninfo = Annotated[
    str | None,
    typer.Option(
        "--conninfo",
        metavar="CONNINFO",
        help="Connection string of the database. Otherwise PGSTORE_CONNINFO, then libpq's"
        " environment (PGHOST, PGSERVICE, …), then an embedded server in your data folder.",
        rich_help_panel=COMMON,
    ),
]
_Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="NAME",
        help="The store: a schema's name. Otherwise PGSTORE_STORE, then pgstore.",
        rich_help_panel=COMMON,
    ),
]
_Json = Annotated[
    bool,
    typer.Option("--json", help="For programs: one JSON document a line.", rich_help_panel=COMMON),
]
_Debug = Annotated[
    bool,
    typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=COMMON),
]
_COMMON: dict[str, tuple[object, object]] = {
    "conninfo": (_Conninfo, None),
    "store": (_Store, None),
    "json": (_Json, False),
    "debug": (_Debug, False),
}


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
    rich_markup_mode="rich",
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
    conninfo: _Conninfo = None,
    store: _Store = None,
    json: _Json = False,
    debug: _Debug = False,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version."),
    ] = False,
) -> None:
    """Keep the options that stand before the command."""
    ctx.obj = Settings().changed(conninfo=conninfo, store=store, json=json, debug=debug)


def command(
    name: str, *, panel: str | None = None, of: typer.Typer = app
) -> Callable[[Callable[Concatenate[Call, P], None]], Callable[Concatenate[Call, P], None]]:
    """Make a command of a function whose first parameter is the `Call`.

    The command takes the options that are everywhere too, and tells errors in one line.
    """

    def register(
        function: Callable[Concatenate[Call, P], None],
    ) -> Callable[Concatenate[Call, P], None]:
        help = _flowing(inspect.getdoc(function) or "")
        of.command(name, cls=_Command, rich_help_panel=panel, help=help)(
            _with_common_options(function)
        )
        return function

    return register


def group(name: str, *, panel: str, help: str) -> typer.Typer:
    """Make a command that has commands."""
    made = typer.Typer(
        cls=_Group,
        no_args_is_help=True,
        help=help,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.add_typer(made, name=name, rich_help_panel=panel)
    return made


def within(least: float, most: float | None = None) -> Callable[[Any], Any]:
    """Refuse numbers outside of these bounds: a callback, as Typer's own would be in the help."""

    def check(value: Any) -> Any:
        if value is not None and not (value >= least and (most is None or value <= most)):
            bounds = f"at least {least}" if most is None else f"{least} to {most}"
            raise typer.BadParameter(f"must be {bounds}, not {value}")
        return value

    return check


def _refuse_long_numbers(ctx: typer.Context, values: dict[str, Any]) -> None:
    """Refuse numbers that the server's bigint cannot hold: its error names no option."""
    for each in ctx.command.params:
        value = values.get(each.name or "")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise typer.BadParameter(
                f"must be a number of 64 bits, not {value}", ctx=ctx, param_hint=each.opts[0]
            )


def _with_common_options(function: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(function, eval_str=True)
    own = list(signature.parameters.values())[1:]

    @functools.wraps(function)
    def run(ctx: typer.Context, **values: Any) -> None:
        _refuse_long_numbers(ctx, values)
        common = {name: values.pop(name) for name in _COMMON}
        settings: Settings = ctx.obj.changed(**common)
        with reported(settings.debug):
            function(Call(settings), **values)

    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for name, (kind, default) in _COMMON.items()
    ]
    context = inspect.Parameter(
        "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    parameters = [context, *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own), *extra]
    # Both: which of them Typer reads depends on its version.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
