# SPDX-License-Identifier: ISC
"""The kernel's own view: BPF objects by id, and processes by /proc.

Existence is asked for with *_GET_NEXT_ID, which takes no reference: looking
at a link does not keep it alive."""

import contextlib
import ctypes
import os
import platform
import pwd
import re
import signal
import struct
import time

from . import wait

_NR_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280}[platform.machine()]
_NEXT_ID = {"prog": 11, "map": 12, "link": 31}
_FD_BY_ID = {"prog": 13, "map": 14, "link": 30}
_INFO_BY_FD = 15
_LOOKUP_ELEM = 1
_UPDATE_ELEM = 2
_libc = ctypes.CDLL(None, use_errno=True)

KINDS = tuple(_NEXT_ID)


def _bpf(cmd, attr):
    buf = ctypes.create_string_buffer(attr, max(len(attr), 16))
    result = _libc.syscall(_NR_BPF, cmd, buf, len(buf))
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return result, buf.raw


def fd_of(kind, number):
    """An owned descriptor of the object."""
    return _bpf(_FD_BY_ID[kind], struct.pack("=IIII", number, 0, 0, 0))[0]


def bpf(cmd, attr):
    """bpf(2) itself: what it returns."""
    return _bpf(cmd, attr)[0]


def next_id(kind, start):
    """The first id above START, or None."""
    try:
        _, raw = _bpf(_NEXT_ID[kind], struct.pack("=IIII", start, 0, 0, 0))
    except FileNotFoundError:
        return None
    return struct.unpack_from("=I", raw, 4)[0]


def let_programs_end():
    """Return when each BPF program that runs now has come to its end: they
    run within RCU's read sides, which membarrier(2) waits for."""
    number = {"x86_64": 324, "aarch64": 283, "riscv64": 283}[
        platform.machine()]
    if _libc.syscall(number, 1, 0, 0) != 0:  # MEMBARRIER_CMD_GLOBAL
        raise OSError(ctypes.get_errno(), "membarrier")


def exists(kind, number):
    return next_id(kind, number - 1) == number


def all_ids(kind):
    ids, at = set(), 0
    while (at := next_id(kind, at)) is not None:
        ids.add(at)
    return ids


def _info(kind, number, size):
    """What the kernel says of an object, None if it is gone."""
    try:
        fd = fd_of(kind, number)
    except FileNotFoundError:
        return None
    except BlockingIOError:  # a link that is just being made
        time.sleep(0.001)
        return _info(kind, number, size)
    try:
        info = ctypes.create_string_buffer(size)
        _bpf(_INFO_BY_FD, struct.pack(
            "=IIQ", fd, len(info), ctypes.addressof(info)))
        return info.raw
    finally:
        os.close(fd)


def prog_name(number):
    """A program's name (15 characters at most), None if it is gone."""
    info = _info("prog", number, 232)
    # type id tag[8] lens insns load_time uid nr_map_ids map_ids name[16]
    return info and info[64:80].split(b"\0")[0].decode()


def prog_owner(number):
    """The uid of who loaded a program, None if it is gone."""
    info = _info("prog", number, 232)
    # ... load_time created_by_uid nr_map_ids map_ids name[16]
    return info and struct.unpack_from("=I", info, 48)[0]


def map_name(number):
    """A map's name (15 characters at most), None if it is gone."""
    info = _info("map", number, 88)
    # type id key_size value_size max_entries map_flags name[16]
    return info and info[24:40].split(b"\0")[0].decode()


def link_prog(number):
    """Id of the program that a link runs, None if the link is gone."""
    info = _info("link", number, 64)
    return info and struct.unpack_from("=III", info)[2]


def map_value(number, key, size):
    """The SIZE bytes at KEY (a __u32, or its bytes); per CPU: all CPUs'."""
    fd, _ = _bpf(_FD_BY_ID["map"], struct.pack("=IIII", number, 0, 0, 0))
    try:
        if isinstance(key, int):
            key = struct.pack("=I", key)
        where = ctypes.create_string_buffer(key, len(key))
        value = ctypes.create_string_buffer(size)
        _bpf(_LOOKUP_ELEM, struct.pack(
            "=IIQQQ", fd, 0, ctypes.addressof(where),
            ctypes.addressof(value), 0))
        return value.raw
    finally:
        os.close(fd)


def map_update(number, key, value):
    """Write VALUE at a __u32 KEY, as the program itself might."""
    fd, _ = _bpf(_FD_BY_ID["map"], struct.pack("=IIII", number, 0, 0, 0))
    try:
        where = ctypes.create_string_buffer(struct.pack("=I", key), 4)
        what = ctypes.create_string_buffer(value, len(value))
        _bpf(_UPDATE_ELEM, struct.pack(
            "=IIQQQ", fd, 0, ctypes.addressof(where),
            ctypes.addressof(what), 0))
    finally:
        os.close(fd)


def progs_named(name):
    """Ids of all programs of that name, whoever loaded them."""
    return {i for i in all_ids("prog") if prog_name(i) == name[:15]}


def held(pid):
    """Ids of the BPF objects whose descriptors a process holds."""
    ids = {kind: set() for kind in KINDS}
    for fd, target in descriptors(pid).items():
        kind = {"anon_inode:bpf-prog": "prog", "anon_inode:bpf-map": "map",
                "anon_inode:bpf_link": "link",
                "anon_inode:bpf-link": "link"}.get(target)
        if kind is None:
            continue
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                found = re.search(rf"^{kind}_id:\s*(\d+)$", info.read(), re.M)
        except FileNotFoundError:
            continue
        if found:
            ids[kind].add(int(found[1]))
    return ids


def descriptors(pid):
    """Descriptor number -> what it refers to ("socket:[...]")."""
    found = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        except FileNotFoundError:
            pass
    return found


# --- processes ---

CAPS = {name: bit for bit, name in enumerate(
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid "
    "setpcap linux_immutable net_bind_service net_broadcast net_admin "
    "net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace "
    "sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time "
    "sys_tty_config mknod lease audit_write audit_control setfcap "
    "mac_override mac_admin syslog wake_alarm block_suspend audit_read "
    "perfmon bpf checkpoint_restore".split())}


def caps(*names):
    """The bits of the capabilities named."""
    return sum(1 << CAPS[name] for name in names)


def cap_names(bits):
    return sorted(name for name, bit in CAPS.items() if bits >> bit & 1)


def proc_status(pid):
    """/proc/PID/status as a dict of strings."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return dict(line.rstrip("\n").split(":\t", 1)
                    for line in status if ":\t" in line)


def children(pid):
    """Pids of the direct children of a process."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry))
    return sorted(found)


def strangers():
    """Pids of the processes that neither we nor any of ours has started;
    the agent's are ours, whoever looks after them."""
    parents, ours = {}, {os.getpid()}
    prefix = os.environ["AEGIS_PREFIX"] + "/"
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8") as stat:
                fields = stat.read().rpartition(")")[2].split()
            parents[int(entry)] = int(fields[1])
            if os.readlink(f"/proc/{entry}/exe").startswith(prefix):
                ours.add(int(entry))
        except OSError:  # it has ended, or is none of root's business
            continue
    while more := {p for p, parent in parents.items()
                   if parent in ours} - ours:
        ours |= more
    return [p for p in parents if p not in ours]


def threads_of(account):
    """How many threads of an account there are."""
    uid, count = str(pwd.getpwnam(account).pw_uid), 0
    for entry in os.listdir("/proc"):
        try:
            status = proc_status(entry) if entry.isdigit() else {}
        except (FileNotFoundError, ProcessLookupError):
            continue
        if status.get("Uid", "").split()[:1] == [uid]:
            count += int(status["Threads"])
    return count


@contextlib.contextmanager
def stopped(*pids):
    """They do nothing meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        for pid in pids:
            wait.until(lambda p=pid: proc_status(p)["State"][0] in "TZX",
                       "it is stopped")
        yield
    finally:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass


def anonymous_kb(pid):
    """Memory that is the process's own (not file-backed), KiB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return int(re.search(r"^Anonymous:\s+(\d+)", rollup.read(), re.M)[1])


def memory_contains(pid, needle):
    """True if the bytes NEEDLE stand anywhere in a process's memory."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            span, mode = line.split()[:2]
            start, end = (int(x, 16) for x in span.split("-"))
            if not mode.startswith("r") or "[v" in line:
                continue
            try:
                if needle in os.pread(mem.fileno(), end - start, start):
                    return True
            except OSError:
                continue
    return False
