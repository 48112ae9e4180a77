# SPDX-License-Identifier: ISC
"""The real bpfd and agentd under a kernel that does not do all that it is told
or takes its time, and on a channel that waits: stubborn.c."""

import os
import shutil


class Stubborn:
    """A directory of workers whose bpfd has such a kernel; the agent that has
    LAUNCHER as its launcher starts them."""

    # A byte of the file each, as in stubborn.c.
    SWITCHES = ("keep_filters", "first_swap_lost", "next_swap_good",
                "last_swap", "hold_done", "held", "hold_attach", "hold_close")

    def __init__(self, directory, prefix, build_dir):
        self.directory = os.path.join(directory, "libexec")
        installed = os.path.join(prefix, "libexec", "aegisflux")
        built = os.path.join(build_dir, "tests/integration")
        shutil.copytree(installed, self.directory)
        shutil.copytree(installed, os.path.join(self.directory, "real"))
        shutil.copy(os.path.join(built, "libstubborn.so"), self.directory)
        os.unlink(os.path.join(self.directory, "bpfd"))
        shutil.copy(os.path.join(built, "stubborn_bpfd"),
                    os.path.join(self.directory, "bpfd"))
        self.path = os.path.join(self.directory, "switches")
        with open(self.path, "w", encoding="ascii") as out:
            out.write("0" * len(self.SWITCHES))
        os.chmod(self.path, 0o666)
        os.chmod(self.directory, 0o755)
        library = os.path.join(self.directory, "libstubborn.so")
        self.launcher = [
            "unshare", "--mount", "sh", "-c",
            f"mount --bind {self.directory} {installed} && "
            f"exec env STUBBORN_AGENTD=1 STUBBORN_SWITCH={self.path} "
            f'LD_PRELOAD={library} "$0"']

    def set(self, **switches):
        """set(last_swap=2): digits."""
        with open(self.path, "r+", encoding="ascii") as out:
            for name, digit in switches.items():
                out.seek(self.SWITCHES.index(name))
                out.write(str(digit))

    def get(self, name):
        with open(self.path, encoding="ascii") as switches:
            return int(switches.read()[self.SWITCHES.index(name)])
