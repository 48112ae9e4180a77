# SPDX-License-Identifier: ISC
# Who may do what, tried from inside each process's row by sandbox_probe; all
# that can be tried, on this machine's own kernel: test_sandbox.py.
. /test/lib.sh

outcome() { # role thing...: "ok", an errno, or "killed"
	local said
	said=$(/test/sandbox_probe "$@")
	[ $? -eq 159 ] && said=killed # 128 + SIGSYS
	echo "$said"
} 2>/dev/null # the shell's own words on that
all_are() { # wanted role thing argument...: for each argument
	local wanted=$1 role=$2 thing=$3 argument wrong=
	shift 3
	for argument; do
		set -- "$(outcome $role $thing $argument)"
		[ "$1" = "$wanted" ] || wrong="$wrong $thing $argument: $1;"
	done
	[ -z "$wrong" ] || echo "$wrong"
	[ -z "$wrong" ]
}

# Commands of bpf(2).
prog_load=5 obj_pin=6 prog_attach=8 prog_fd_by_id=13 raw_tracepoint_open=17
link_create=28 link_update=29 enable_stats=32

check "agentd neither loads nor attaches" all_are killed agentd bpf_cmd \
	$prog_load $link_create $link_update $raw_tracepoint_open \
	$prog_attach $obj_pin
check "agentd counts run time" all_are ok agentd bpf_cmd $enable_stats
check "agentd opens perf events" all_are ok agentd perf ''
check "bpfd loads" all_are ok bpfd prog_load ''
check "bpfd makes maps" all_are ok bpfd map_create ''
check "bpfd opens no perf event" all_are killed bpfd perf ''
check "bpfd has nothing of CAP_SYS_ADMIN's" all_are killed bpfd bpf_cmd \
	$prog_fd_by_id $obj_pin $enable_stats
for thing in mount unshare setuid execve fork; do
	check "bpfd: no $thing" all_are killed bpfd $thing ''
done
for role in registry vault verifyd apid telemd; do
	check "$role has no bpf()" all_are killed $role bpf_cmd \
		0 1 3 $prog_load $link_create $enable_stats
done
