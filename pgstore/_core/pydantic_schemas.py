"""MessagePosition and StoredMessage as pydantic sees them; imported only where pydantic asks.

In JSON each is an object of its fields. A payload is that of its class: by pydantic, where pydantic
knows the class, and by msgspec, where it does not, as for msgspec Structs and attrs classes.
"""

import types
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
import pydantic
from pydantic_core import core_schema, to_jsonable_python
from typing_extensions import TypedDict

_RAW = {
    "title": "RawMessage",
    "type": "object",
    "properties": {"type": {"type": "string"}, "data": {}},
    "required": ["type", "data"],
}


_HOOK = "__get_pydantic_core_schema__"


def schema_of(
    cls: type[Any], source: Any, handler: pydantic.GetCoreSchemaHandler
) -> core_schema.CoreSchema:
    """The schema of a class whose fields are public, of a source as `StoredMessage[Paid]`."""
    owner: Any = cls
    fields = handler.generate_schema(_shape(owner, get_args(source)))
    made = core_schema.no_info_after_validator_function(lambda values: cls(**values), fields)
    return core_schema.json_or_python_schema(
        json_schema=made,
        python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), made]),
        serialization=core_schema.plain_serializer_function_ser_schema(
            msgspec.structs.asdict, return_schema=fields
        ),
    )


def schema_of_raw(cls: type[Any], source: Any, handler: Any) -> core_schema.CoreSchema:
    """The schema of RawMessage: its payload is JSON already."""

    def plain(raw: Any) -> dict[str, Any]:
        return {"type": raw.type, "data": msgspec.json.decode(raw.data)}

    def read(value: Any) -> Any:
        return cls(value["type"], msgspec.json.encode(value["data"]))

    schema: core_schema.CoreSchema = handler.generate_schema(
        Annotated[
            Any,
            pydantic.PlainValidator(partial(_read, cls, read)),
            pydantic.PlainSerializer(plain),
            pydantic.WithJsonSchema(_RAW),
        ]
    )
    return schema


@lru_cache
def _shape(cls: Any, arguments: tuple[Any, ...]) -> Any:
    """The fields of a class as a TypedDict, which pydantic describes by its name."""
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(cls):
        fields[field.name] = field.type
        if isinstance(field.type, TypeVar):
            fields[field.name] = _payload(arguments[0] if arguments else Any)
    name = f"{cls.__name__}[{_name_of(arguments[0])}]" if arguments else cls.__name__
    shape: Any = TypedDict(name, fields)  # type: ignore[misc]
    shape.__module__, shape.__doc__ = cls.__module__, None
    return shape


def _name_of(kind: Any) -> str:
    if _is_union(kind):
        return " | ".join(_name_of(each) for each in get_args(kind))
    return getattr(kind, "__name__", str(kind))


def _is_union(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _payload(kind: Any) -> Any:
    """The type of a payload as pydantic can use it."""
    if _is_union(kind):
        return Union[tuple(_payload(each) for each in get_args(kind))]  # noqa: UP007
    if kind is Any or isinstance(kind, TypeVar):
        return Annotated[Any, pydantic.PlainSerializer(_plain)]
    if hasattr(kind, _HOOK):
        return kind
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        try:
            pydantic.TypeAdapter(kind)
        except pydantic.errors.PydanticSchemaGenerationError:
            pass
        else:
            return kind
    return Annotated[
        Any,
        pydantic.PlainValidator(partial(_read, kind, partial(msgspec.convert, type=kind))),
        pydantic.PlainSerializer(_plain),
        pydantic.WithJsonSchema(_json_schema(kind)),
    ]


def _read(kind: Any, read: Callable[[Any], Any], value: Any) -> Any:
    """The payload as it is, or made of the values of its JSON."""
    if isinstance(value, kind):
        return value
    try:
        return read(value)
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def _plain(value: Any) -> Any:
    """A payload as values that JSON has."""
    if hasattr(type(value), _HOOK):
        return pydantic.TypeAdapter(type(value)).dump_python(value, mode="json")
    return msgspec.to_builtins(value, enc_hook=to_jsonable_python)


def _json_schema(kind: Any) -> dict[str, Any]:
    """The JSON schema of a class, without references: those would be of another document."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="{name}")

    def inlined(part: Any, around: tuple[str, ...]) -> Any:
        if isinstance(part, list):
            return [inlined(each, around) for each in part]
        if not isinstance(part, dict):
            return part
        name = part.get("$ref")
        if isinstance(name, str):
            if name in around:  # a class that refers to itself
                return {"title": name, "type": "object"}
            return inlined(components[name], (*around, name))
        # A discriminator refers to classes, too; the tags of the classes tell as much.
        kept = {key: each for key, each in part.items() if key != "discriminator"}
        return {key: inlined(each, around) for key, each in kept.items()}

    found: dict[str, Any] = inlined(schema, ())
    return found
