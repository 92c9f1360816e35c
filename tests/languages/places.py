"""Where the programs are, and where they are built."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache" / "languages"
