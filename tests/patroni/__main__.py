"""`python -m tests.patroni` lists the packages that are not here, one a line."""

from tests.patroni.packages import missing

for name in missing():
    print(name)
