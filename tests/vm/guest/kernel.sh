# SPDX-License-Identifier: ISC
# Is this the kernel that the tests are meant to meet?
. /test/lib.sh

has_lsm() { grep -q "\b$1\b" /sys/kernel/security/lsm; }
setting() { [ "$(cat "/proc/sys/kernel/$1")" = "$2" ]; }

echo "FACT release $(uname -r)"
echo "FACT lsm $(cat /sys/kernel/security/lsm)"
check "the kernel has bpf among its security modules" has_lsm bpf
check "the kernel has Landlock" has_lsm landlock
check "perf events are for CAP_SYS_ADMIN (Debian's 3)" \
	setting perf_event_paranoid 3
check "bpf() is for the privileged (Debian's 2)" \
	setting unprivileged_bpf_disabled 2
