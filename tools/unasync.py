"""Generate the synchronous twin of the asynchronous code.

`python tools/unasync.py` writes the generated files; with `--check` it writes nothing, lists
the files that are not up to date, and exits 1 if there are any.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# By itself: `python -m ruff` starts an interpreter for each of some hundred files.
RUFF = str(Path(sys.executable).with_name("ruff"))

PAIRS = [
    ("pgstore/_async", "pgstore/_sync"),
    ("pgstore/otel/_async", "pgstore/otel/_sync"),
    ("pgstore/testing/_async", "pgstore/testing/_sync"),
    ("tests/client/_async", "tests/client/_sync"),
    ("tests/frameworks/_async", "tests/frameworks/_sync"),
]

HEADER = "# Generated from {source} by `python tools/unasync.py`.\n\n"

# Applied in this order to the whole text, docstrings and comments included.
RULES = [
    # Marks that only asynchronous tests carry.
    (r"^ *@pytest\.mark\.(anyio|asyncio)\b.*\n", ""),
    (r"^pytestmark = pytest\.mark\.(anyio|asyncio)\n", ""),
    (r"\bpytest_asyncio\.fixture\b", "pytest.fixture"),
    # Syntax. What only collects is a comprehension there, a list here.
    (r"\[(\w+) async for \1 in ([^\[\]]+)\]", r"list(\2)"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\(await ([\w.]+(?:\((?:[^()]|\([^()]*\))*\))?)\)(?=[.\[])", r"\1"),
    (r"\bawait\s+", ""),
    (r"\b__a(enter|exit|iter|next)__\b", r"__\1__"),
    (r"\ba(next|iter)\(", r"\1("),
    # Library names that do not just lose a prefix.
    (r"\bAsyncGenerator\[(.+), None\]", r"Generator[\1, None, None]"),
    (r"\bAwaitable\[((?:[^\[\]]|\[[^\[\]]*\])+)\]", r"\1"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\bAbstractAsyncContextManager\b", "AbstractContextManager"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\benter_async_context\b", "enter_context"),
    (r"\baclos(e|ing)\b", r"clos\1"),
    (r"^( *)import asyncio\n", r"\1import threading\n\1import time\n"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\basyncio\.(Lock|Event|Condition|Semaphore|Barrier)\b", r"threading.\1"),
    # Everything else: AsyncMessageStore -> MessageStore, pgstore._async -> pgstore._sync.
    (r"\bAsync([A-Z]\w*)", r"\1"),
    (r"\b_async\b", "_sync"),
    (r"\basync_([a-z]\w*)", r"\1"),
]


def ruff(command: list[str], text: str, target: Path) -> str:
    """Pass text through ruff with the settings that hold for the target file."""
    arguments = [RUFF, *command, "-q", "--stdin-filename", str(target), "-"]
    done = subprocess.run(
        arguments, input=text, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{target}: {done.stdout}{done.stderr}")
    return done.stdout


def convert(source: Path, target: Path) -> str:
    text = source.read_text()
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    text = HEADER.format(source=source.relative_to(ROOT).as_posix()) + text
    # F401 drops the imports that only asynchronous code needed; SIM117 joins the blocks that only
    # differ in being asynchronous.
    text = ruff(["check", "--select", "I,F401,SIM117", "--fix"], text, target)
    return ruff(["format"], text, target)


def main() -> int:
    check = "--check" in sys.argv[1:]
    wrong = []
    for sources, targets in [(ROOT / source, ROOT / target) for source, target in PAIRS]:
        present = {target: target.read_text() for target in targets.rglob("*.py")}
        wanted = {}
        for source in sources.rglob("*.py"):
            target = targets / source.relative_to(sources)
            wanted[target] = convert(source, target)
        for target in sorted(wanted.keys() | present.keys()):
            if wanted.get(target) != present.get(target):
                wrong.append(target)
                if not check:
                    write(target, wanted.get(target))
    for target in wrong:
        print(target.relative_to(ROOT), "is not up to date" if check else "updated")
    return 1 if check and wrong else 0


def write(target: Path, text: str | None) -> None:
    if text is None:
        target.unlink()
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
