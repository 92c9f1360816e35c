"""Flame graphs as SVG, from stacks that py-spy sampled: no script, for light and dark pages."""

import re
from collections.abc import Iterable
from html import escape

import msgspec

WIDTH = 760
EDGE = 14
ROW = 19
TOP = 58
LETTER = 6.1
NARROWEST = 0.004
"""Share of the width below which a frame is left out."""

FRAME = re.compile(r"^(?P<function>.*) \((?P<file>.*?)(?::\d+)?\)$")

OURS = re.compile(r"\((?:pgstore|_core|_sync|_compat)/")

STYLE = """\
.card{fill:#ffffff;stroke:#d8dce3}
.title{fill:#1b2330;font-weight:600;font-size:16px}
.note{fill:#3f4957;font-size:12px}
.frame text{font-size:11px;fill:#1b2330}
.frame rect{stroke:#ffffff;stroke-width:.6}
.ours rect{fill:#a9c1f5}.driver rect{fill:#e6d6a2}.wait rect{fill:#d5dae2}.other rect{fill:#c9e3cf}
@media (prefers-color-scheme: dark){
.card{fill:#1e2229;stroke:#3a414c}
.title{fill:#f2f4f8}.note{fill:#c3cad5}
.frame text{fill:#f2f4f8}
.frame rect{stroke:#1e2229}
.ours rect{fill:#35559c}.driver rect{fill:#6d5f2c}.wait rect{fill:#474f5b}.other rect{fill:#34593d}
}"""


class Node(msgspec.Struct):
    """A function, called from the one below it."""

    samples: int = 0
    above: dict[str, "Node"] = {}


def tree(lines: Iterable[str], *, under: str) -> Node:
    """Join stacks (`frame;frame;frame COUNT`), from the function `under` upwards.

    Stacks without it are of other threads.
    """
    root = Node()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = [readable(frame) for frame in stack.split(";")]
        start = next((n for n, name in enumerate(frames) if function(name) == under), None)
        if start is None:
            continue
        node = root
        node.samples += int(count)
        for frame in frames[start:]:
            node = node.above.setdefault(frame, Node())
            node.samples += int(count)
    return root


def readable(frame: str) -> str:
    """A frame without its line number, and with the end of its path only."""
    found = FRAME.match(frame)
    if found is None:
        return frame
    return f"{found['function']} ({'/'.join(found['file'].split('/')[-2:])})"


def function(frame: str) -> str:
    """A frame's function, without its class and its file."""
    return frame.partition(" (")[0].rpartition(".")[2]


def shares(root: Node) -> dict[str, float]:
    """How much of the time each function worked itself, without those that it called."""
    found: dict[str, float] = {}

    def walk(name: str, node: Node) -> None:
        alone = node.samples - sum(each.samples for each in node.above.values())
        if alone and name:
            found[name] = found.get(name, 0) + alone / root.samples
        for each, above in node.above.items():
            walk(each, above)

    walk("", root)
    return dict(sorted(found.items(), key=lambda each: -each[1]))


def kind(frame: str) -> str:
    """What a frame is coloured as."""
    if function(frame) == "wait" or frame == "ready (_compat/sockets.py)":
        return "wait"
    if OURS.search(frame):
        return "ours"
    return "driver" if "psycopg" in frame else "other"


def flame_graph(title: str, note: str, root: Node) -> str:
    """Draw the tree with its root at the top; the width of a frame is its share of the time."""
    height = TOP + ROW * deepest(root, root.samples) + EDGE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label="{escape(title)}"'
        ' font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">',
        f"<style>{STYLE}</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        f'<text class="title" x="{EDGE}" y="26">{escape(title)}</text>',
        f'<text class="note" x="{EDGE}" y="45">{escape(note)}</text>',
    ]
    per_sample = (WIDTH - 2 * EDGE) / max(1, root.samples)

    def draw(node: Node, x: float, depth: int) -> None:
        for name, above in node.above.items():
            width = above.samples * per_sample
            if is_shown(above, root.samples):
                parts.append(drawn(name, x, TOP + depth * ROW, width, above.samples / root.samples))
                draw(above, x, depth + 1)
            x += width

    draw(root, EDGE, 0)
    return "\n".join([*parts, "</svg>\n"])


def deepest(node: Node, samples: int) -> int:
    shown = [each for each in node.above.values() if is_shown(each, samples)]
    return max((1 + deepest(each, samples) for each in shown), default=0)


def is_shown(node: Node, samples: int) -> bool:
    return node.samples >= NARROWEST * samples


def drawn(name: str, x: float, y: float, width: float, share: float) -> str:
    room = int((width - 6) / LETTER)
    label = name.partition(" (")[0]
    label = label if len(label) <= room else f"{label[: room - 1]}…" if room > 3 else ""
    text = f'<text x="{x + 3:.1f}" y="{y + 13}">{escape(label)}</text>' if label else ""
    return (
        f'<g class="frame {kind(name)}"><title>{escape(name)}: {share:.1%}</title>'
        f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}" rx="2"/>{text}</g>'
    )
