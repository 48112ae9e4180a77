// SPDX-License-Identifier: GPL-2.0-only
/*
 * One program for every line of common/attach.def, each named k_<line> and
 * doing nothing but count: the object of loader_table.
 */
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct counters {
	__u64 packets_processed;
	__u64 packets_dropped;
	__u64 violations;
	__u64 errors;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} stats SEC(".maps");

static __always_inline int
count(int verdict)
{
	__u32 zero = 0;
	struct counters *c = bpf_map_lookup_elem(&stats, &zero);

	if (c)
		c->packets_processed++;
	return verdict;
}

#define COUNT(section, name, type, verdict)                                    \
	SEC(section)                                                           \
	int k_##name(type *ctx)                                                \
	{                                                                      \
		return count(verdict);                                         \
	}
#define TRACE(section, name, verdict)                                          \
	SEC(section)                                                           \
	int BPF_PROG(k_##name)                                                 \
	{                                                                      \
		return count(verdict);                                         \
	}

COUNT("xdp", XDP, struct xdp_md, XDP_PASS)
COUNT("tc", TCX_INGRESS, struct __sk_buff, -1)
COUNT("tc", TCX_EGRESS, struct __sk_buff, -1)
COUNT("cgroup_skb/ingress", CGROUP_SKB_INGRESS, struct __sk_buff, 1)
COUNT("cgroup_skb/egress", CGROUP_SKB_EGRESS, struct __sk_buff, 1)
COUNT("cgroup/sock_create", CGROUP_SOCK_CREATE, struct bpf_sock, 1)
COUNT("cgroup/sock_release", CGROUP_SOCK_RELEASE, struct bpf_sock, 1)
COUNT("cgroup/bind4", CGROUP_BIND4, struct bpf_sock_addr, 1)
COUNT("cgroup/bind6", CGROUP_BIND6, struct bpf_sock_addr, 1)
COUNT("cgroup/connect4", CGROUP_CONNECT4, struct bpf_sock_addr, 1)
COUNT("cgroup/connect6", CGROUP_CONNECT6, struct bpf_sock_addr, 1)
COUNT("cgroup/sendmsg4", CGROUP_SENDMSG4, struct bpf_sock_addr, 1)
COUNT("cgroup/sendmsg6", CGROUP_SENDMSG6, struct bpf_sock_addr, 1)
COUNT("cgroup/recvmsg4", CGROUP_RECVMSG4, struct bpf_sock_addr, 1)
COUNT("cgroup/recvmsg6", CGROUP_RECVMSG6, struct bpf_sock_addr, 1)
COUNT("cgroup/getsockopt", CGROUP_GETSOCKOPT, struct bpf_sockopt, 1)
COUNT("cgroup/setsockopt", CGROUP_SETSOCKOPT, struct bpf_sockopt, 1)
COUNT("cgroup/dev", CGROUP_DEVICE, struct bpf_cgroup_dev_ctx, 1)
COUNT("cgroup/sysctl", CGROUP_SYSCTL, struct bpf_sysctl, 1)
COUNT("sockops", SOCK_OPS, struct bpf_sock_ops, 1)
TRACE("lsm/file_open", LSM, 0)
TRACE("lsm_cgroup/socket_bind", LSM_CGROUP, 1)
TRACE("fentry/vfs_read", FENTRY, 0)
TRACE("fexit/vfs_read", FEXIT, 0)
TRACE("fmod_ret/security_file_open", FMOD_RET, 0)
TRACE("tp_btf/sched_switch", TP_BTF, 0)
COUNT("raw_tp/sched_switch", RAW_TP, struct bpf_raw_tracepoint_args, 0)
COUNT("tp/sched/sched_process_fork", TRACEPOINT, void, 0)
COUNT("kprobe/vfs_read", KPROBE, struct pt_regs, 0)
COUNT("kretprobe/vfs_read", KRETPROBE, struct pt_regs, 0)
COUNT("kprobe.multi/vfs_read", KPROBE_MULTI, struct pt_regs, 0)
COUNT("kretprobe.multi/vfs_read", KRETPROBE_MULTI, struct pt_regs, 0)
COUNT("uprobe", UPROBE, struct pt_regs, 0)
COUNT("uretprobe", URETPROBE, struct pt_regs, 0)
COUNT("perf_event", PERF_EVENT, struct bpf_perf_event_data, 0)
COUNT("sk_lookup", SK_LOOKUP, struct bpf_sk_lookup, SK_PASS)
COUNT("netfilter", NETFILTER, void, 1 /* NF_ACCEPT */)

char _license[] SEC("license") = "GPL";
