"""Say which languages are not here: ``python -m tests.languages``.

With ``--packages`` it says which packages of Debian have them; with ``--table`` it prints the table
of the docs. It needs nothing but Python.
"""

import sys

from tests.languages.drivers import LANGUAGES, is_here, table, was_fetched, why_not

absent = [name for name in LANGUAGES if not is_here(name)]
if sys.argv[1:] == ["--packages"]:
    print(*filter(None, (LANGUAGES[name].packages for name in absent)))
elif sys.argv[1:] == ["--table"]:
    print(table(), end="")
else:
    for name in LANGUAGES:
        if name in absent or not was_fetched(name):
            print(why_not(name))
