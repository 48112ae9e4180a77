# SPDX-License-Identifier: ISC
# Sourced by the guest's tests.  What they find is a line each:
#
#	FACT name value			about this kernel
#	ROW type works COUNT | refused REASON | FAILED WHAT	loader_table's
#	CHECK ok NAME  |  CHECK FAILED NAME: WHAT
#	ROOT type ERROR			root and libbpf alone fail likewise
#	LOG text, anything else		shown when something failed
#	END				nothing comes after this
. /test/config # prefix
set -o pipefail # jq of 1.6 is content with no input

# The applet of that name, which the shell would prefer, knows no namespaces.
ip() { /test/ip "$@"; }

# check NAME COMMAND...: NAME is what must hold; the command says what does
# not, if it can.
check() {
	local name=$1
	shift
	if "$@" >/run/check 2>&1; then # no $(): some wait for a child of ours
		echo "CHECK ok $name"
	else
		echo "CHECK FAILED $name: $(tail -n 3 /run/check |
			tr "\n" " " | cut -c 1-400)"
		failed=$((failed + 1))
		return 1
	fi
}
failed=0

# within SECONDS COMMAND...: until it succeeds.  Emulation is slow and the
# machine is loaded: limits are only for what never comes.
within() {
	local end=$(($(uptime_sec) + $1)) late=no
	shift
	until "$@"; do
		[ $late = no ] || return 1
		usleep 100000
		# Who was kept from looking for long looks once more.
		[ "$(uptime_sec)" -lt "$end" ] || late=yes
	done
}
uptime_sec() { cut -d. -f1 /proc/uptime; }

not() { ! "$@"; }
