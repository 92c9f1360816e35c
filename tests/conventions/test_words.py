"""The prose of docs, comments and docstrings names its actors, in the words of the field."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
GLOSSARY = ROOT / "docs/glossary.md"

# Written by a program, from texts that are tested where they stand; or frozen.
GENERATED = {"docs/reference/sql.md", "pgstore/_sync"}
FROZEN = {
    "sql/migrations/0001_initial.sql",
}

# "Who writes" and "what is stored" hide the actor. A question may begin so.
NOUNS = re.compile(r"(?:Who|Whom|Whoever|What|Whatever)\b")
PRONOUNS = re.compile(r"\bwho(?:so)?ever\b", re.IGNORECASE)

# Pictures, each with the field's word for it. A picture that the glossary defines may stay.
PICTURES = {
    "sleep": (r"sleep\w*|slept|asleep", "wait"),
    "ring": (r"rings?|rang|ringing", "notify"),
    "bell": (r"bells?|doorbells?", "notify"),
    "go on": (r"(?:go|goes|going|went|gone) on", "continue"),
    "stand in a row": (r"st(?:and|ands|anding|ood) in (?:a|one) row|writers in a row", "queue"),
    "be at it": (r"at it", "hold, run, work on"),
    "in hand": (r"in hand", "batch"),
    "told": (r"told", "receive, error"),
    "belt": (r"belts?", "safety net"),
    "zombie": (r"zombies?", "a worker without its lease"),
}


class Passage(NamedTuple):
    """Prose that belongs together: a paragraph, an item, a cell, a comment, a docstring."""

    path: Path
    line: int
    text: str


def in_page(path: Path) -> Iterator[Passage]:
    text = re.sub(r"(?ms)^( *)```.*?^\1```|<!--.*?-->", blank, path.read_text())
    yield from passages(path, text, r"\n\s*\n|\n(?=\s*(?:[-*#|>]|\d+\.)\s?)|(?<!\\)\|")


def in_sql(path: Path) -> Iterator[Passage]:
    text = path.read_text()
    for match in re.finditer(r"(?:^[^'\n]*?--[^\n]*\n)(?:^ *--[^\n]*\n)*", text, re.MULTILINE):
        comment = re.sub(r"(?m)^.*?-- ?", "", match.group())
        yield from passages(path, comment, r"\n\s*\n", text.count("\n", 0, match.start()))
    for match in re.finditer(r"COMMENT ON [^;']*?\bIS\s+(?:\$\$(.*?)\$\$|'((?:[^']|'')*)')", text, re.DOTALL):
        comment = match.group(1) or match.group(2)
        yield from passages(path, comment, r"\n\s*\n|\n(?=\s*[-*] )", text.count("\n", 0, match.end() - len(comment)))


def in_python(path: Path) -> Iterator[Passage]:
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield from passages(path, node.value.value, r"\n\s*\n|\n(?=\s*[-*] )", node.lineno - 1)
    last, lines = -1, []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last + 1 or token.line.strip() != token.string:
            if lines:
                yield from passages(path, "\n".join(lines), r"\n\s*\n", last - len(lines))
            lines = []
        lines.append(token.string.lstrip("# "))
        last = token.start[0]
    if lines:
        yield from passages(path, "\n".join(lines), r"\n\s*\n", last - len(lines))


def blank(match: re.Match[str]) -> str:
    return "\n" * match.group().count("\n")


def passages(path: Path, text: str, ends: str, before: int = 0) -> Iterator[Passage]:
    start = 0
    for match in [*re.finditer(ends, text), None]:
        end = match.start() if match else len(text)
        part = text[start:end]
        lead = len(part) - len(part.lstrip())
        line = before + text.count("\n", 0, start + lead) + 1
        if part.strip():
            yield Passage(path, line, part)
        start = match.end() if match else end


def sentences(passage: Passage) -> Iterator[str]:
    # Code, addresses and names of functions are no prose.
    text = re.sub(r"``.+?``|`[^`]*`", "`x`", passage.text)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"\w+\.\w+(?:\.\w+)*|\w+\(.*?\)", "`x`", " ".join(text.split()))
    for match in re.finditer(r".+?(?:[.?!](?=[\s\"')*_\]]|$)|$)", text):
        yield match.group().strip(" \"'()*_->#|[]")


def faults(passage: Passage, allowed: set[str]) -> Iterator[str]:
    for sentence in sentences(passage):
        if NOUNS.match(sentence) and not sentence.endswith("?"):
            yield f"begins with a noun that hides the actor: {sentence[:90]}"
        if PRONOUNS.search(sentence):
            yield f"whoever: {sentence[:90]}"
        for picture, (forms, word) in PICTURES.items():
            found = re.search(rf"(?i)\b(?:{forms})\b", sentence)
            if found and picture not in allowed:
                yield f"“{found.group()}” ({word}): {sentence[max(0,found.start()-50):found.end()+50]}"


def glossary() -> set[str]:
    return set(re.findall(r"(?m)^\*\*(.+?)\*\*", GLOSSARY.read_text())) if GLOSSARY.exists() else set()

if __name__ == "__main__":
    import sys, collections
    files = [ROOT/"README.md", *sorted((ROOT/"docs").rglob("*.md")), *sorted(p for p in (ROOT/"pgstore").rglob("*.py") if "_sync" not in p.parts), *sorted(p for p in (ROOT/"sql").rglob("*.sql") if "migrations" not in p.parts)]
    counts = collections.Counter()
    for p in files:
        if "pgstore/sql" in str(p): continue
        rel = p.relative_to(ROOT)
        if len(sys.argv) > 1 and not any(str(rel).startswith(a) for a in sys.argv[1:]): continue
        reader = {".md": in_page, ".py": in_python, ".sql": in_sql}[p.suffix]
        for pa in reader(p):
            for f in faults(pa, glossary()):
                print(f"{rel}:{pa.line}: {f}")
                counts[str(rel)] += 1
    for k, v in counts.items(): print(v, k, file=sys.stderr)
    print(sum(counts.values()), file=sys.stderr)
