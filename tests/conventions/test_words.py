"""Prose names its actor, in the words of the field: docs, comments and docstrings."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GLOSSARY = ROOT / "docs/glossary.md"

# Rooms whose prose is tested.
COVERED = ["README.md", "docs", "pgstore", "sql"]

# A program writes these from texts that are tested where they stand.
GENERATED = [
    *("docs/reference/sql.md", "pgstore/_sync", "pgstore/otel/_sync", "pgstore/testing/_sync"),
]
# A released migration never changes.
FROZEN = re.compile(r"sql/migrations/000[1-5]_")

# "Who writes …" and "What is stored …" leave out the actor. A question may begin so.
NOUN = re.compile(r"(?:Who|Whom|Whoever|What|Whatever)\b")
# So do "… of what is stored" and "…; who writes …" within a sentence.
CLAUSE = re.compile(
    r"(?i)(?:[;:]|\b(?:after|against|and|because|before|beyond|but|by|for|from|if|of|on|so|than|that|to"
    r"|without)) (?:who|what|whatever)\b(?! to\b)"
)
ANYBODY = re.compile(r"(?i)\bwho(?:so)?ever\b")

# Pictures, and words of the field in their place. A picture that the glossary defines may stay.
PICTURES = {
    "sleep": ("wait", r"sleep\w*|slept|asleep"),
    "ring": ("notify", r"rings?|rang|ringing"),
    "bell": ("notify", r"bells?"),
    "doorbell": ("notification", r"doorbells?"),
    "go on": ("continue", r"(?:go|goes|going|went|gone) on"),
    "stand in a row": ("queue", r"st(?:and|ands|anding|ood) in (?:a|one) row|writers in a row"),
    "be at it": ("work on, hold", r"(?:is|are|be|was|were|been|still) at it"),
    "in hand": ("batch", r"in hand"),
    "told": ("know, error", r"told"),
    "belt and braces": ("safety net", r"belts?"),
    "zombie": ("a worker without its lease", r"zombies?"),
}


# A sentence of more words holds more than one fact.
WORDS = 40


class Passage(NamedTuple):
    """Prose that belongs together: a paragraph, an item, a cell, a comment."""

    path: Path
    line: int
    text: str


def cut(path: Path, text: str, ends: str, line: int = 1) -> Iterator[Passage]:
    """Cut text that begins at a line into passages, at a pattern."""
    start = 0
    for end in [*re.finditer(ends, text), re.search(r"\Z", text)]:
        part = text[start : end.start()] if end else ""
        if part.strip():
            lead = len(part) - len(part.lstrip())
            yield Passage(path, line + text.count("\n", 0, start + lead), part)
        start = end.end() if end else start


def in_page(path: Path) -> Iterator[Passage]:
    text = re.sub(
        r"(?ms)^( *)```.*?^\1```|<!--.*?-->",
        lambda block: "\n" * block.group().count("\n"),
        path.read_text(),
    )
    yield from cut(path, text, r"\n\s*\n|\n(?=\s*(?:[-*#|>]|\d+\.)\s?)|(?<!\\)\|")


def in_sql(path: Path) -> Iterator[Passage]:
    text = path.read_text()
    for found in re.finditer(r"(?m)^[^'\n]*?--[^\n]*\n(?:^ *--[^\n]*\n)*", text):
        comment = re.sub(r"(?m)^.*?-- ?", "", found.group())
        yield from cut(path, comment, r"\n\s*\n", text.count("\n", 0, found.start()) + 1)
    described = r"COMMENT ON [^;']*?\bIS\s+(?:\$\$(?P<a>.*?)\$\$|'(?P<b>(?:[^']|'')*)')"
    for found in re.finditer(described, text, re.DOTALL):
        which = "a" if found["a"] is not None else "b"
        line = text.count("\n", 0, found.start(which)) + 1
        yield from cut(path, found[which], r"\n\s*\n|\n(?=[-*] )", line)


def in_python(path: Path) -> Iterator[Passage]:
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(prose))):
                ends = r"\n\s*\n|\n(?=\s*[-*] |\s+\w[\w, ]*: )"
                yield from cut(path, prose, ends, node.lineno)
    comments = [
        (token.start[0], token.string.lstrip("# "))
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    ]
    while comments:
        together = [comments.pop(0)]
        while comments and comments[0][0] == together[-1][0] + 1:
            together.append(comments.pop(0))
        yield from cut(path, "\n".join(each for _, each in together), r"\n\s*\n", together[0][0])


READERS = {".md": in_page, ".sql": in_sql, ".py": in_python}


def covered() -> Iterator[Path]:
    for room in COVERED:
        top = ROOT / room
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            name = path.relative_to(ROOT).as_posix()
            skipped = name.startswith(tuple(GENERATED)) or FROZEN.match(name)
            if path.suffix in READERS and not skipped:
                yield path


def sentences(passage: Passage) -> Iterator[str]:
    if "├" in passage.text:
        return  # a drawing
    # Code, addresses and calls are no prose.
    text = re.sub(r"``.+?``|`[^`]*`", "`x`", passage.text)
    text = re.sub(r"\]\([^)]*\)", "]", " ".join(text.split()))
    text = re.sub(r"\w+(?:\.\w+)+|\w+\(\w*\)", "`x`", text)
    for match in re.finditer(r".+?(?:[.?!](?=[\s\"')*_\]]|$)|$)", text):
        yield match.group().strip(" \"'()*_->#|[]")


def faults(sentence: str, defined: set[str]) -> Iterator[str]:
    if NOUN.match(sentence) and not sentence.endswith("?"):
        yield f"name the actor: {sentence[:90]}"
    elif (clause := CLAUSE.search(sentence)) and not sentence.endswith("?"):
        yield f"name the actor: {sentence[max(0, clause.start() - 30) : clause.end() + 60]}"
    if ANYBODY.search(sentence):
        yield f"name the actor, not whoever: {sentence[:90]}"
    if (words := len(sentence.split())) > WORDS:
        yield f"{words} words in a sentence: {sentence[:90]}"
    for picture, (word, forms) in PICTURES.items():
        found = re.search(rf"(?i)\b(?:{forms})\b", sentence)
        if found and picture not in defined:
            around = sentence[max(0, found.start() - 50) : found.end() + 40]
            yield f"“{found.group()}”, better {word}: {around}"


def test_prose_names_its_actor_in_the_words_of_the_field() -> None:
    defined = set(re.findall(r"(?m)^### (.+)$", GLOSSARY.read_text()))
    found = [
        f"{passage.path.relative_to(ROOT)}:{passage.line}: {fault}"
        for path in covered()
        for passage in READERS[path.suffix](path)
        for sentence in sentences(passage)
        for fault in faults(sentence, defined)
    ]
    assert not found, "\n".join([f"{len(found)} places", *found])


def test_every_page_links_to_the_glossary() -> None:
    without = [page for page in DOCS if "glossary.md" not in page.read_text()]
    assert without == [GLOSSARY]
