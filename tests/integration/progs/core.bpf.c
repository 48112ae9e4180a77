// SPDX-License-Identifier: GPL-2.0-only
/*
 * Needs the kernel's BTF to be loaded (CO-RE) and reads nothing of the kernel,
 * so that every kernel takes it: the object of bench_load.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct mm_struct {
	unsigned long start_stack;
} __attribute__((preserve_access_index));

struct task_struct {
	int pid;
	char comm[16];
	struct mm_struct *mm;
} __attribute__((preserve_access_index));

struct it_not_in_any_kernel {
	int x;
} __attribute__((preserve_access_index));

volatile __u32 pid_offset;
volatile __u32 comm_size;
volatile __u32 stack_offset;
volatile __u32 absent;

SEC("raw_tp/sched_switch")
int
it_core(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = 0;
	struct mm_struct *mm = 0;

	pid_offset =
	    __builtin_preserve_field_info(task->pid, BPF_FIELD_BYTE_OFFSET);
	comm_size = bpf_core_field_size(task->comm);
	stack_offset = __builtin_preserve_field_info(
	    mm->start_stack, BPF_FIELD_BYTE_OFFSET);
	/* A type that no kernel has must be found absent, not refused. */
	absent = !bpf_core_type_exists(struct it_not_in_any_kernel);
	return 0;
}

char _license[] SEC("license") = "GPL";
