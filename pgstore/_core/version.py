"""The package's version."""


def package_version() -> str:
    """The version of the installed package."""
    # Not for every command: it imports more than the command line does.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pgstore")
    except PackageNotFoundError:  # run from a folder that is not installed
        return "unknown"
