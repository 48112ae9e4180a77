/* SPDX-License-Identifier: ISC */
#include "bpfd/kernel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "bpfd/corebtf.h"
#include "bpfd/netdev.h"
#include "bpfd/rtnl.h"
#include "common/log.h"
#include "common/strnum.h"

#define ATTACH_TCX_INGRESS ((enum bpf_attach_type)46) /* Linux 6.6 */
#define LOOPBACK_IFINDEX   1

bool
kernel_list_has(const char *list, const char *word)
{
	size_t len = strlen(word), n;

	while (*list != '\0') {
		list += strspn(list, "[], \n");
		n = strcspn(list, "[], \n");
		if (n == len && memcmp(list, word, len) == 0)
			return true;
		list += n;
	}
	return false;
}

/* A small file as text; false if it cannot be read. */
static bool
read_text(int dir, const char *path, char *buf, size_t size)
{
	_cleanup_fd_ int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd == -1)
		return false;
	n = read(fd, buf, size - 1);
	if (n < 0)
		return false;
	buf[n] = '\0';
	return true;
}

/* Any answer but "no such attach type" means that the kernel has it. */
static bool
probe_tcx(void)
{
	uint32_t flags, count = 0;

	return bpf_prog_query(LOOPBACK_IFINDEX, ATTACH_TCX_INGRESS, 0, &flags,
		   NULL, &count) == 0 ||
	    errno != EINVAL;
}

static void
probe_security(struct kernel *k)
{
	char text[512];

	k->lsm_known =
	    read_text(AT_FDCWD, "/sys/kernel/security/lsm", text, sizeof(text));
	k->lsm_bpf = k->lsm_known && kernel_list_has(text, "bpf");
	k->lockdown = read_text(AT_FDCWD, "/sys/kernel/security/lockdown", text,
			  sizeof(text)) &&
	    strstr(text, "[confidentiality]") != NULL;
}

static int
open_cgroup_root(struct kernel *k, const char *path)
{
	size_t len;

	if (*path == '\0')
		return 0;
	k->cgroup_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (k->cgroup_fd == -1) {
		log_error("cgroup root \"%s\": %s", path, strerror(errno));
		return -errno;
	}
	str_copy_cut(k->cgroup_root, sizeof(k->cgroup_root), path);
	len = strlen(k->cgroup_root);
	while (len > 0 && k->cgroup_root[len - 1] == '/')
		k->cgroup_root[--len] = '\0';
	return 0;
}

int
kernel_open(struct kernel *k, const char *cgroup_root)
{
	struct netdev netdev;
	int r;

	memset(k, 0, sizeof(*k));
	k->cgroup_fd = k->fdinfo_fd = k->ioctl_fd = k->netns_fd = -1;
	k->tc_fd = k->nf_fd = -1;
	r = netdev_open(&netdev, false);
	k->netdev_fd = netdev.fd;
	if (r == 0)
		r = k->tc_fd = rtnl_open(NETLINK_ROUTE);
	if (r < 0) {
		log_error("rtnetlink: %s", strerror(-r));
		return r;
	}
	k->nf_fd = rtnl_open(NETLINK_NETFILTER); /* it works without */
	k->ioctl_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (k->ioctl_fd == -1)
		k->ioctl_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (k->ioctl_fd == -1) {
		log_error("socket: %s", strerror(errno));
		return -errno;
	}
	r = open_cgroup_root(k, cgroup_root);
	if (r < 0)
		return r;
	/* Read by libbpf once and remembered: /sys is closed later. */
	k->cpus = libbpf_num_possible_cpus();
	if (k->cpus <= 0) {
		log_error(
		    "/sys/devices/system/cpu/possible: %s", strerror(-k->cpus));
		return k->cpus < 0 ? k->cpus : -EINVAL;
	}
	k->fdinfo_fd =
	    open("/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (k->fdinfo_fd == -1)
		log_warn("/proc/self/fdinfo: %s: the memory of programs will "
			 "be shown as 0",
		    strerror(errno));
	k->has_btf = access(COREBTF_VMLINUX, R_OK) == 0;
	k->corebtf = corebtf_new(); /* NULL: it works without */
	k->cls_bpf_built_in = calloc(1, sizeof(*k->cls_bpf_built_in));
	k->has_tcx = probe_tcx();
	k->netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	kernel_probe_features(k);
	probe_security(k);
	return 0;
}

void
kernel_close(struct kernel *k)
{
	fd_close(&k->netdev_fd);
	fd_close(&k->tc_fd);
	fd_close(&k->nf_fd);
	fd_close(&k->ioctl_fd);
	fd_close(&k->cgroup_fd);
	fd_close(&k->fdinfo_fd);
	fd_close(&k->netns_fd);
	corebtf_free(k->corebtf);
	k->corebtf = NULL;
	free(k->cls_bpf_built_in);
	k->cls_bpf_built_in = NULL;
}

int
kernel_interface(const struct kernel *k, const char *name)
{
	struct ifreq ifr = { 0 };

	if (str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), name) < 0)
		return -EINVAL;
	if (ioctl(k->ioctl_fd, SIOCGIFINDEX, &ifr) == -1)
		return -errno;
	return ifr.ifr_ifindex;
}

const char *
kernel_cgroup_relative(const char *root, const char *target)
{
	size_t len = strlen(root);

	if (len > 0 && strncmp(target, root, len) == 0 &&
	    (target[len] == '/' || target[len] == '\0'))
		target += len;
	target += strspn(target, "/");
	return *target == '\0' ? "." : target;
}

int
kernel_open_cgroup(const struct kernel *k, const char *target)
{
	/*
	 * The target is the artifact's: neither dots nor links lead out of
	 * the cgroup file system.  O_PATH is all that the kernel wants.
	 */
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
		    RESOLVE_NO_MAGICLINKS,
	};
	const char *path = kernel_cgroup_relative(k->cgroup_root, target);
	long fd;

	fd = syscall(SYS_openat2, k->cgroup_fd, path, &how, sizeof(how));
	return fd == -1 ? -errno : (int)fd;
}

uint64_t
kernel_parse_memlock(const char *text)
{
	const char *p = strstr(text, "memlock:");
	char *end;
	uint64_t n;

	if (p == NULL)
		return 0;
	errno = 0;
	n = strtoull(p + sizeof("memlock:") - 1, &end, 10);
	return errno == 0 ? n : 0;
}

uint64_t
kernel_fd_memory(const struct kernel *k, int fd)
{
	char name[16], text[1024];

	if (k->fdinfo_fd < 0)
		return 0;
	(void)snprintf(name, sizeof(name), "%d", fd);
	if (!read_text(k->fdinfo_fd, name, text, sizeof(text)))
		return 0;
	return kernel_parse_memlock(text);
}
