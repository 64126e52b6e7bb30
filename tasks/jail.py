"""The inside of the sandbox: run as a script by tasks/sandbox.py, never imported.

Standard input holds a line of settings and then the program. This process takes namespaces of its own and
starts a child in them. The child builds a small read-only root with the interpreter and one writable folder
in memory, gives up every privilege, runs the program and writes the verdict to standard output.

Only the program's own tests say whether it is right, and they run in its own process: a program that set
out to forge a verdict could. What cannot happen by accident is a pass without its last line having run.

It starts once for every program, so it imports little: json and signal would cost as much as Python itself.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import sys

NEWNS, NEWUTS, NEWIPC, NEWUSER = 0x00020000, 0x04000000, 0x08000000, 0x10000000
NEWPID, NEWNET = 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000  # the same on every architecture
CAPABILITY_VERSION_3 = 0x20080522
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
NOBODY, SIGKILL = 65534, 9
LIBRARIES = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/nix/store")

FOLDER = "/scratch"  # not /tmp: an interpreter may live there

libc = ctypes.CDLL(None, use_errno=True)


def call(what: str, result: int) -> None:
    """Stop with what could not be done if a C function failed."""
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2)."""
    args = [text.encode() if text is not None else None for text in (source, target, kind)]
    call(f"mount {target}", libc.mount(*args, ctypes.c_ulong(flags), options.encode()))


def read_only(path: str) -> None:
    """Make a mount and all under it read-only, without set-user-id programs and devices (Linux 5.12)."""

    class Attributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]

    value = Attributes(MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    what = (ctypes.c_int(AT_FDCWD), path.encode(), ctypes.c_uint(AT_RECURSIVE))
    size = ctypes.c_size_t(ctypes.sizeof(value))
    number = ctypes.c_long(SYS_MOUNT_SETATTR)
    call(f"read-only {path}", libc.syscall(number, *what, ctypes.byref(value), size))


def enter_namespaces() -> None:
    """Own network, processes, mounts and the rest: as root, or as an ordinary user in a user namespace.

    Root does not fall back on a user namespace: it would stay exempt from the bound on processes in there.
    """
    spaces = NEWNET | NEWPID | NEWNS | NEWIPC | NEWUTS
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        call("new namespaces", libc.unshare(spaces))
        return
    call("new namespaces", libc.unshare(spaces | NEWUSER))
    maps = {"setgroups": "deny", "uid_map": f"{NOBODY} {uid} 1", "gid_map": f"{NOBODY} {gid} 1"}
    for name, text in maps.items():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def build_root(root: str, disk: int) -> None:
    """Change into a root of the interpreter's files, read-only, and an empty folder in memory."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("root", root, "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=755")
    for source in dict.fromkeys([*LIBRARIES, sys.base_prefix, sys.base_exec_prefix]):
        if not os.path.exists(source) or any(source.startswith(f"{above}/") for above in ("/usr", "/lib")):
            continue
        target = root + source
        if os.path.isdir(source):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            open(target, "w").close()
        mount(source, target, None, MS_BIND | MS_REC)
    folder = root + FOLDER
    os.mkdir(folder)
    read_only(root)
    options = f"size={disk},nr_inodes=256,mode=1777"
    mount("folder", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
    os.chroot(root)
    os.chdir(FOLDER)


def drop_privileges() -> None:
    """Another user, no capabilities, none to be had by starting programs."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    call("drop capabilities", libc.capset(ctypes.byref(header), ctypes.byref(none)))
    call("no new privileges", libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    call("die with parent", libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))


def limit(seconds: float, memory: int, disk: int) -> None:
    """Bound memory, processor time, files and processes. No new process and no thread: NPROC 0."""
    for name, value in {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: int(seconds) + 1,
        resource.RLIMIT_FSIZE: disk,
        resource.RLIMIT_NOFILE: 32,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }.items():
        resource.setrlimit(name, (value, value))


def run(program: bytes, token: str, say: int) -> None:
    """Run the program in this process and write the verdict to the descriptor `say`."""
    try:
        exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
        verdict = token
    except BaseException as error:  # SystemExit and KeyboardInterrupt too: leaving early is no pass
        verdict = f"{type(error).__name__}: {error}"[:300]
    os.write(say, verdict.encode(errors="replace"))
    os._exit(0)


def main() -> None:
    """Read what to run, run it, and leave: status 0, or 3 if its time was over, or 1 without a sandbox."""
    header, _, program = sys.stdin.buffer.read().partition(b"\n")
    token, seconds, memory, disk, root = header.decode().split(" ", 4)
    say, nothing = os.dup(1), os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    child = -1
    try:
        enter_namespaces()
        child = os.fork()
        if child == 0:
            build_root(root, int(disk))
            drop_privileges()
            limit(float(seconds), int(memory), int(disk))
    except OSError as error:
        os.write(say, f"{token} {error}".encode())
        os._exit(1)
    if child == 0:
        run(program, token, say)
    os.close(say)
    wait(child, float(seconds))


def wait(child: int, seconds: float) -> None:
    """Wait for the program's process and end with it; kill it when its time is over: then status 3."""
    ended, _, _ = select.select([os.pidfd_open(child)], [], [], seconds)
    if not ended:
        os.kill(child, SIGKILL)
    os.waitpid(child, 0)
    os._exit(0 if ended else 3)


if __name__ == "__main__":
    main()
