/* SPDX-License-Identifier: ISC */
#include "agentd/broker.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

int
broker_enable_stats(void)
{
	union bpf_attr attr = { .enable_stats.type = BPF_STATS_RUN_TIME };
	long fd;

	fd = syscall(SYS_bpf, BPF_ENABLE_STATS, &attr, sizeof(attr));
	if (fd == -1)
		return -errno;
	(void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
	return (int)fd;
}
