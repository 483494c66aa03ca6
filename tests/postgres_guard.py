"""Lets a PostgreSQL server live exactly as long as its owner. A program, not a module.

    python postgres_guard.py FOLDER NAME UID GID COMMAND...

The owner (the process that started the tests) holds a lock on FOLDER/alive. However it ends, the
kernel drops that lock, also on SIGKILL, when no `finally` and no `atexit` runs any more. So the
guard leaves its parent, starts the server and tries the lock again and again:

    owner          test process          guard                 server
      |-- lock alive     |                 |                     |
      |------ starts --->|---- starts ---->|------ starts ------>|
      |                  x (crashes)       |   (unimpressed)     |
      x (ends; the lock goes)              |-- stops, deletes -->x

A process id would not do: it may belong to another process by the time we look. Nor would a pipe
from the test process, since servers outlive the worker that happened to need one first.

A server that stops by itself leaves its last words in FOLDER/NAME.log, and nothing else.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

LOOK_EVERY_SECONDS = 0.05
STOP_SECONDS = 10


def main() -> None:
    folder, name, uid, gid, *command = sys.argv[1:]
    os.setsid()  # Ctrl-C is for the tests; what follows from it is decided here
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    guard(Path(folder), name, command, int(uid), int(gid))


def guard(folder: Path, name: str, command: list[str], uid: int, gid: int) -> None:
    log = folder / f"{name}.output"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=uid if uid >= 0 else None,
            group=gid if gid >= 0 else None,
            extra_groups=[] if uid >= 0 else None,
        )
    try:
        with (folder / "alive").open() as alive:
            while server.poll() is None and not is_free(alive.fileno()):
                time.sleep(LOOK_EVERY_SECONDS)
    finally:
        stopped_by_itself = server.poll() is not None
        stop(server)
        shutil.rmtree(folder / name, ignore_errors=True)
        if stopped_by_itself:
            log.rename(folder / f"{name}.log")
        else:
            log.unlink(missing_ok=True)
            if not any(entry.is_dir() for entry in folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)


def is_free(lock: int) -> bool:
    """Whether the owner is gone. The lock is shared, since one owner may have several guards."""
    try:
        fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def stop(server: subprocess.Popen[bytes]) -> None:
    """Stop at once: the data are thrown away, but shared memory has to be given back."""
    if server.poll() is None:
        server.send_signal(signal.SIGQUIT)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
