"""Text from outside, as it may be logged, printed or put into an error."""

import re
import unicodedata

# Of payloads and metadata, whether the driver or the server finds it.
TOO_DEEP = "nested too deep: write at most 100 arrays and objects in one another"

# Control and format characters, lone surrogates, line and paragraph separators.
_UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")

# To the last @ and to the end of the line: a password may itself hold what would end it. Of other
# systems' URLs only what is surely a password: http://host:80/path may be followed by an @ too.
_SECRETS = (
    (re.compile(r"(postgres[\w+]*:/{1,2}).*@", re.IGNORECASE), r"\1…@"),
    (re.compile(r"(://[^\s:/@]*:)[^\s/]*@"), r"\1…@"),
    (re.compile(r"(password\s*=).*", re.IGNORECASE), r"\1…"),
)

# Not a backslash that is followed by these letters.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def has_nul(json: str) -> bool:
    """Tell whether there is a NUL in JSON, which PostgreSQL has no place for."""
    return r"\u0000" in json and _NUL.search(json) is not None


def printable(text: str) -> str:
    """The text with control and format characters spelled out: none can steer a terminal."""
    if text.isprintable():
        return text
    return "".join(
        each.encode("unicode_escape").decode()
        if unicodedata.category(each) in _UNPRINTABLE
        else each
        for each in text
    )


def shortened(text: str, longest: int = 60) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= longest else f"{text[:longest]}…"


def masked(text: str) -> str:
    """The text without the password of a connection string that stands in it."""
    for secret, instead in _SECRETS:
        text = secret.sub(instead, text)
    return text


def one_line(text: str) -> str:
    """The text in a line, printable, without a connection string's password."""
    return printable(masked(" ".join(text.split())))
