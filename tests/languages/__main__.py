"""Say which languages are not here: ``python -m tests.languages``.

With ``--packages`` it says which packages of Debian have them. It needs nothing but Python.
"""

import sys

from tests.languages.drivers import LANGUAGES, is_here, why_not

absent = [name for name in LANGUAGES if not is_here(name)]
if sys.argv[1:] == ["--packages"]:
    print(*filter(None, (LANGUAGES[name].packages for name in absent)))
else:
    for name in absent:
        print(why_not(name))
