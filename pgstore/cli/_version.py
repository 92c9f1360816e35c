"""The package's version."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("pgstore")
except PackageNotFoundError:  # run from a folder that is not installed
    VERSION = "unknown"
