"""What the scripts share: the cache, running commands, processes, ports."""

import contextlib
import fcntl
import os
import pathlib
import pwd
import socket
import subprocess
import tempfile
import time

ROOT = os.geteuid() == 0
SYSTEM_USER = "madang"
# Below Linux's range for outgoing connections, which could otherwise sit on a server's port when it starts.
FIRST_PORT = 15432
# Linux; elsewhere the process table is asked through `ps`, and a killed server's children are left to end by themselves.
PROC = pathlib.Path("/proc/self")


class Failure(Exception):
    """What went wrong, in words for the person at the terminal."""


def cache_dir():
    if chosen := os.environ.get("MADANG_CACHE"):
        return pathlib.Path(chosen).resolve()
    if ROOT:
        return pathlib.Path("/var/cache/madang")
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "madang"


@contextlib.contextmanager
def locked(cache):
    """One change at a time, so that two callers neither install twice nor choose the same port."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command, as_user=False, **variables):
    """Runs a command to its end; its output is shown only when it fails."""
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"} if as_user else dict(os.environ)
    env |= {name: str(value) for name, value in variables.items()}
    options = {}
    if as_user and ROOT:
        account = system_user()
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    # A file, not a pipe: a server started by the command would hold the pipe open for ever.
    with tempfile.TemporaryFile("w+") as output:
        try:
            code = subprocess.run([str(part) for part in command], env=env, cwd="/", stdin=subprocess.DEVNULL,
                                  stdout=output, stderr=subprocess.STDOUT, **options).returncode
        except PermissionError as error:
            raise Failure(f"the user {SYSTEM_USER} cannot run {command[0]}: choose a MADANG_CACHE open to it") from error
        if code:
            output.seek(0)
            raise Failure(f"`{' '.join(map(str, command))}` failed ({code}):\n{output.read().rstrip()}")


def system_user():
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    run("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER)
    return pwd.getpwnam(SYSTEM_USER)


def own(path):
    """Makes the directory, unless the path is a file, and gives the path to the user that runs the servers."""
    if not path.exists():
        path.mkdir(parents=True)
    if ROOT:
        account = system_user()
        os.chown(path, account.pw_uid, account.pw_gid)


def free_port(taken=()):
    for port in range(FIRST_PORT, FIRST_PORT + 1000):
        if port in taken:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise Failure(f"no free port from {FIRST_PORT} on")


def command_line(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    if PROC.exists():
        return ""
    return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout


def processes_in(directory):
    """The processes whose working directory this is."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry / "cwd") == str(directory):
                found.append(int(entry.name))
    return found


def alive(pid):
    # A zombie has ended; only its parent has not looked yet.
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    if PROC.exists():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def send(pid, sig):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sig)


def tail(path):
    return "\n".join(path.read_text(errors="replace").splitlines()[-10:]) if path.exists() else "(no log)"


def poll(seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
