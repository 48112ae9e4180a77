# SPDX-License-Identifier: ISC
# The whole agent as installed, from its first second to its last: signed
# artifacts, enforcement, a dying worker, rollback, TTL, the end.
. /test/lib.sh

registry=/test/registry
nats=nats://127.0.0.1:4222

# --- the world around it ---

mkdir -p /forbidden /sys/fs/cgroup/vm $registry/artifacts/for-host
cp /bin/busybox /forbidden/true

list() { # id...: what the registry has for us from now on
	local id entries=
	for id; do
		entries="$entries /test/entries/$id.json"
	done
	cat /dev/null $entries | jq -cs '{artifacts: ., total: length}' \
		>$registry/new &&
		mv $registry/new $registry/artifacts/for-host/vm
}

cable() { # uplink 10.99.0.1 here, 10.99.0.2 in the namespace peer
	ip netns add peer &&
		ip link add uplink type veth peer name eth0 netns peer &&
		ip address add 10.99.0.1/24 dev uplink &&
		ip -n peer address add 10.99.0.2/24 dev eth0 &&
		ip link set uplink up && ip -n peer link set eth0 up
}

broker() {
	/test/nats-server -a 127.0.0.1 -p 4222 -l /run/nats.log >/dev/null 2>&1 &
	within 60 nc -w 1 127.0.0.1 4222 </dev/null >/dev/null
	/test/natssub $nats 'agent.>' >/run/events 2>&1 &
}

start() {
	env -i PATH=$PATH \
		AGENT_HOST_ID=vm AGENT_REGISTRY_URL=file://$registry \
		AGENT_PUBLIC_KEY=file:/test/key.pub AGENT_NATS_URL=$nats \
		AGENT_HTTP_ADDRESS=127.0.0.1 AGENT_HTTP_PORT=8080 \
		AGENT_CACHE_DIR=/run/cache AGENT_STATE_DIR=/run/state \
		AGENT_CONTROL_SOCKET=/run/control.sock \
		AGENT_ROLLBACK_MAX_VIOLATIONS=1000000 \
		AGENT_POLL_INTERVAL_SEC=1 AGENT_ROLLBACK_CHECK_INTERVAL_SEC=1 \
		"$prefix/sbin/agentd" </dev/null >/run/agent.log 2>&1 &
	agent=$!
}

# --- what it says, and what is so ---

log_of_agent() { tail -n 60 /run/agent.log | sed 's/^/LOG /'; }

# The static wget looks for name services, which are not there, and crashes.
get() {
	printf 'GET %s HTTP/1.0\r\n\r\n' "$1" | nc -w 10 127.0.0.1 8080 |
		sed '1,/^\r$/d'
}
ctl() { "$prefix/sbin/aegisctl" -s /run/control.sock "$@"; }
healthy() { get /healthz | jq -e '.status == "healthy"' >/dev/null; }

program() { # id jq-condition
	get /programs | jq -e --arg id "$1" \
		".programs[] | select(.artifact_id == \$id) | $2" >/dev/null
}
running() { program "$1" '.status == "running" or .status == "loaded"'; }
becomes() { # id status
	within 60 program "$1" ".status == \"$2\"" && return
	get /programs | jq -c '.programs[] | [.artifact_id, .status, .error]'
	return 1
}
runs() { # id
	within 60 running "$1" && return
	becomes "$1" running
}
told_of() { # id type jq-condition on an event
	jq -R 'fromjson? | .data | objects' /run/events |
		jq -es --arg id "$1" --arg type "$2" "any(.[]; .type == \$type and
			.data.artifact_id == \$id and ($3))" >/dev/null
}
worker() { # name: its pid
	ctl -j workers | jq -re --arg name "$1" \
		'[.. | objects | select(.name? == $name or .worker? == $name)]
		| .[0].pid | select(. > 0)'
}

exec_denied() {
	/forbidden/true 2>/run/said && return 1
	grep -q 'Operation not permitted' /run/said
}
exec_allowed() { /forbidden/true; }
connect_says() { # text: why a connection out of the cgroup fails
	sh -c 'echo 0 >/sys/fs/cgroup/vm/cgroup.procs &&
		exec nc -w 5 127.0.0.1 7777' </dev/null >/run/said 2>&1
	grep -qi "$1" /run/said && return
	cat /run/said
	return 1
}
ping_us() { ip netns exec peer ping -c 1 -W 2 10.99.0.1 >/dev/null 2>&1; }

# Fields of /proc/PID/status: a worker has nothing but what is its own.
confined() { # worker capabilities
	local pid
	pid=$(worker "$1") || { echo "no $1"; return 1; }
	awk -v want="$2" '{ has[$1] = $2 }
		END { exit !(has["Uid:"] >= 900 && has["NoNewPrivs:"] == 1 &&
		has["Seccomp:"] == 2 && has["CapEff:"] == want &&
		has["CapBnd:"] == want) }' "/proc/$pid/status" && return
	grep -E 'Uid|Cap|NoNew|Seccomp:' "/proc/$pid/status"
	return 1
}
another_bpfd() { # pid of the dead one
	local pid
	pid=$(worker bpfd) && [ "$pid" != "$1" ]
}
survives_bpfd() {
	local old
	old=$(worker bpfd) && kill -9 "$old" && exec_denied &&
		within 60 another_bpfd "$old" && exec_denied
}

tries() { # until told to stop: what is denied
	until [ -e /run/stop ]; do
		exec_denied || cat /run/said >>/run/through
		echo >>/run/tried
	done
}
marks() { # id of the map that all versions of the gaps share
	/test/bpftool -j map show | jq -er '.[] | select(.name == "gap_marks").id'
}
going() { grep -qx going /run/gaps; }
bpf_objects() {
	/test/bpftool -j prog show | jq length
	/test/bpftool -j link show | jq length
	/test/bpftool -j map show | jq length
}
ends() {
	local status
	kill -TERM $agent && wait $agent
	status=$?
	[ $status -eq 0 ] || echo "status $status"
	return $status
}
same_objects() {
	bpf_objects >/run/after
	cmp -s /run/before /run/after && return
	paste /run/before /run/after
	return 1
}

filters() { # how many programs are attached by tc, but for links of tcx
	/test/bpftool -j net show | jq '.[0].tc | length'
}
no_filters() { [ "$(filters)" -eq 0 ]; }
without() { # module: refused by its name, before anything is loaded
	within 60 rmmod "$1" || return
	list tc-50
	within 60 program tc-50 ".status == \"failed\" and
		(.error | contains(\"module $1\"))" && return
	becomes tc-50 "failed for want of $1"
}
with_again() { # module
	insmod "/modules/$(uname -r)/$1.ko" && ctl pardon tc-50 &&
		runs tc-50 && list && within 60 no_filters
}
killed() {
	kill -KILL $agent
	wait $agent
	[ $? -eq 137 ]
}

# --- the story ---

list
check "a cable to a peer" cable
check "a broker" broker
bpf_objects >/run/before
start
if ! check "the agent is healthy" within 90 healthy; then
	log_of_agent
	exit 1
fi
none=0000000000000000
for name in registry verifyd apid telemd; do
	check "$name is confined" confined $name $none
done
check "bpfd has BPF, PERFMON and NET_ADMIN only" confined bpfd 000000c000001000
check "a program may be executed before" exec_allowed
check "a connection is tried before" connect_says refused
check "the peer is answered before" within 60 ping_us

# What needs the broker's perf events is among it, and tc with and without links.
tracing="fentry-1 tracepoint-1 kprobe-1 uprobe-1 perf-1 tc-1 tc-50"
list exec-1 egress-1 xdp-1 forged-1 $tracing
check "the LSM program runs" runs exec-1
check "the cgroup program runs" runs egress-1
check "the XDP program runs" runs xdp-1
check "the forged artifact is refused" becomes forged-1 failed
check "LSM: execution is denied" exec_denied
check "cgroup: the connection is denied" connect_says 'not permitted'
check "XDP: the peer is not answered" not ping_us
for id in exec-1 egress-1 xdp-1; do
	check "violations of $id are counted" \
		within 30 program $id '.telemetry.violations > 0'
done
check "the denied execution is an event on the broker" within 30 told_of \
	exec-1 violation_report '.data.violation.path == "/forbidden/true"'
for id in $tracing; do
	check "$id runs" runs $id
	check "events of $id are counted" \
		within 30 program $id '.telemetry.packets_processed > 0'
done
check "programs outlive bpfd" survives_bpfd

check "rollback by the operator" ctl rollback exec-1 -r "tried in a guest"
check "the LSM program is rolled back" becomes exec-1 rolled_back
check "execution is allowed again" within 60 exec_allowed
check "the others still act" not ping_us

list egress-1 xdp-1 exec-short $tracing
# Twelve seconds are soon over in here: what was is asked, not what is.
while :; do
	/forbidden/true 2>/dev/null
	usleep 300000
done &
check "a program with a TTL of 12 s ends by it" within 90 told_of exec-short \
	program_unloaded '.metadata.reason == "ttl_expired"'
kill $!
check "it was loaded" told_of exec-short program_loaded true
check "it denied executions" within 30 told_of exec-short violation_report true
check "and execution is allowed again" exec_allowed

# Versions take each other's place while what they are there for goes on
# without pause: a program that denies, and one for each kind of attachment that
# the kernel cannot swap in place.
case $(uname -r) in
6.1.*) gaps=gaps_old ;;
*) gaps=gaps ;;
esac
list egress-1 xdp-1 exec-3 $gaps-1 $tracing
check "exec-3 runs" runs exec-3
check "$gaps-1 runs" runs $gaps-1
check "LSM: execution is denied once more" exec_denied
tries &
tries=$!
gap_events "$(marks)" /test/$gaps.o /sys/fs/cgroup/vm $(cat /test/$gaps.kinds) \
	>/run/gaps 2>&1 &
events=$!
check "events without pause" within 60 going
list egress-1 xdp-1 exec-4 $gaps-2 $tracing
for id in exec-4 $gaps-2; do
	check "$id runs" runs $id
done
for id in exec-3 $gaps-1; do
	check "$id was replaced" within 30 told_of $id \
		program_unloaded '.metadata.reason == "replaced"'
done
: >/run/stop
list egress-1 xdp-1 exec-4 $gaps-3 $tracing
check "$gaps-3 runs" runs $gaps-3
check "$gaps-2 was replaced" within 30 told_of $gaps-2 \
	program_unloaded '.metadata.reason == "replaced"'
wait $tries
check "LSM: not one execution got through" \
	[ -s /run/tried -a ! -e /run/through ]
kill -TERM $events
check "not one event was missed by any kind" wait $events
sed 's/^/LOG /' /run/gaps

check "SIGTERM ends the agent with status 0" ends
check "connections are tried again" connect_says refused
check "the peer is answered again" within 60 ping_us
check "no program, link or map is left" within 60 same_objects
check "no tc filter is left" no_filters

# No descriptor of the dead keeps a filter, and none takes it along.
list tc-1 tc-50
start
check "tc programs run" runs tc-1
check "at a priority, too" runs tc-50
check "by a filter" not no_filters
check "the agent is killed" killed
list
start
check "what it left attached is removed" within 60 no_filters
for module in cls_bpf sch_ingress; do
	check "without $module its filters are refused by name" without $module
	check "with $module again they are not" with_again $module
done
check "the agent ends" ends
check "nothing is left in the end" within 60 same_objects
[ $failed -eq 0 ] || log_of_agent
