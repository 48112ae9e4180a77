/* SPDX-License-Identifier: ISC */
#include "agentd/broker_perf.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/attach.h"
#include "common/attach_target.h"
#include "common/limits.h"
#include "common/strnum.h"

#define CPUS_MAX 8192 /* CONFIG_NR_CPUS at its largest */

#define DEVICES "/sys/bus/event_source/devices"

/* What is at hand while one attachment's events are opened. */
struct opener {
	const struct loadplan *plan;
	const struct loadplan_attach *a;
	const char *kind;
	uint32_t attach;
	const struct probe_site *site;
	struct broker_events *events;
	char *error;
	size_t size;
};

/* One number in a small file, after PREFIX.  0 or -errno. */
static int
read_number(int dir, const char *path, const char *prefix, uint64_t *out)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC,
		.resolve = RESOLVE_NO_MAGICLINKS,
	};
	size_t skip = strlen(prefix);
	char text[64];
	ssize_t n;
	_cleanup_fd_ int fd =
	    (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (fd == -1)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n == 0 ? -ENODATA : -errno;
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(text, prefix, skip) != 0)
		return -EINVAL;
	return strnum_parse_u64(text + skip, 0, UINT32_MAX, out);
}

static int
add_event(struct opener *o, const struct perf_event_attr *attr, uint32_t cpu)
{
	struct broker_events *events = o->events;
	struct broker_event *items;
	long fd;

	items = reallocarray(events->items, events->count + 1, sizeof(*items));
	if (items == NULL)
		return -ENOMEM;
	events->items = items;
	fd = syscall(
	    SYS_perf_event_open, attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd == -1)
		return -errno;
	items[events->count++] = (struct broker_event){
		.attach = o->attach,
		.cpu = cpu,
		.fd = (int)fd,
	};
	return 0;
}

_printf_(3, 4) static int explain(
    const struct opener *o, int r, const char *fmt, ...)
{
	size_t len;
	va_list ap;

	(void)snprintf(o->error, o->size, "%s: ", o->kind);
	len = strlen(o->error);
	va_start(ap, fmt);
	(void)vsnprintf(o->error + len, o->size - len, fmt, ap);
	va_end(ap);
	return r;
}

/* ---- tracepoints ---- */

static int
open_tracepoint(struct opener *o)
{
	static const char *const roots[] = { "/sys/kernel/tracing",
		"/sys/kernel/debug/tracing" };
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.sample_period = 1 };
	char path[AEGIS_TARGET_SIZE + sizeof("events//id")];
	bool mounted = false;
	uint64_t id = 0;
	size_t i;
	int r = -ENOENT;

	/* A checked target has one '/' and no dots. */
	(void)snprintf(path, sizeof(path), "events/%s/id", o->a->target);
	for (i = 0; i < nitems(roots) && r < 0; i++) {
		_cleanup_fd_ int dir =
		    open(roots[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

		mounted = mounted ||
		    (dir != -1 && faccessat(dir, "events", F_OK, 0) == 0);
		if (dir != -1)
			r = read_number(dir, path, "", &id);
	}
	if (!mounted)
		return explain(o, -ENOENT,
		    "tracefs is not mounted at %s, so the number of \"%s\" "
		    "cannot be read",
		    roots[0], o->a->target);
	if (r < 0)
		return explain(o, r,
		    "this kernel has no tracepoint \"%s\" (%s)", o->a->target,
		    strerror(-r));
	attr.config = id;
	r = add_event(o, &attr, 0);
	return r < 0 ? explain(o, r, "cannot open \"%s\": %s", o->a->target,
			   strerror(-r))
		     : 0;
}

/* ---- kprobes and uprobes ---- */

/* The type of the device and the bit that says "at the return". */
static int
find_device(struct opener *o, const char *name, bool at_return,
    struct perf_event_attr *attr)
{
	char path[128];
	uint64_t n;
	int r;

	(void)snprintf(path, sizeof(path), DEVICES "/%s/type", name);
	r = read_number(AT_FDCWD, path, "", &n);
	if (r == -ENOENT)
		return explain(o, -EOPNOTSUPP,
		    "this kernel is built without %ss (CONFIG_%cPROBE_EVENTS)",
		    name, name[0] - 'a' + 'A');
	if (r < 0)
		return explain(o, r, "%s: %s", path, strerror(-r));
	attr->type = (uint32_t)n;
	if (!at_return)
		return 0;
	(void)snprintf(path, sizeof(path), DEVICES "/%s/format/retprobe", name);
	r = read_number(AT_FDCWD, path, "config:", &n);
	if (r < 0 || n > 63)
		return explain(
		    o, r < 0 ? r : -ERANGE, "%s: not understood", path);
	attr->config = UINT64_C(1) << n;
	return 0;
}

static int
open_kprobe(struct opener *o)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	char symbol[AEGIS_TARGET_SIZE];
	int r;

	memcpy(symbol, o->a->target, o->a->name_len);
	symbol[o->a->name_len] = '\0';
	r = find_device(o, "kprobe", o->a->kind == ATTACH_KRETPROBE, &attr);
	if (r < 0)
		return r;
	attr.kprobe_func = (uint64_t)(uintptr_t)symbol;
	attr.probe_offset = o->a->offset;
	r = add_event(o, &attr, 0);
	if (r == -ENOENT)
		return explain(
		    o, r, "this kernel has no function \"%s\"", symbol);
	if (r == -EINVAL || r == -EADDRNOTAVAIL || r == -EILSEQ)
		return explain(o, r,
		    "this kernel lets \"%s\" not be probed: the function is on "
		    "its blacklist, or an instruction does not begin there "
		    "(%s)",
		    o->a->target, strerror(-r));
	return r < 0 ? explain(o, r, "cannot open \"%s\": %s", o->a->target,
			   strerror(-r))
		     : 0;
}

static int
open_uprobe(struct opener *o)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	char path[AEGIS_TARGET_SIZE];
	struct stat seen, probed;
	int r;

	if (o->site == NULL || o->site->fd < 0 || o->site->waiting)
		return explain(
		    o, -EINVAL, "\"%s\" was not looked up", o->a->target);
	memcpy(path, o->a->target, o->a->name_len);
	path[o->a->name_len] = '\0';
	r = find_device(o, "uprobe", o->a->kind == ATTACH_URETPROBE, &attr);
	if (r < 0)
		return r;
	attr.uprobe_path = (uint64_t)(uintptr_t)path;
	attr.probe_offset = o->site->offset;
	r = add_event(o, &attr, 0);
	if (r < 0)
		return explain(o, r, "cannot probe \"%s\": %s", o->a->target,
		    strerror(-r));
	/* By its path, so that people see it in the link's information; was it
	 * the file that the symbol was looked up in? */
	if (fstat(o->site->fd, &seen) == -1 || stat(path, &probed) == -1)
		return explain(o, -errno, "\"%s\": %s", path, strerror(errno));
	if (seen.st_dev != probed.st_dev || seen.st_ino != probed.st_ino)
		return explain(o, -EAGAIN,
		    "\"%s\" was replaced while it was looked at", path);
	return 0;
}

/* ---- sampling ---- */

/* One event a processor: there is none for all. */
static int
open_samples(struct opener *o)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };
	struct target_event event;
	unsigned int opened = 0;
	uint32_t cpu;
	int r;

	r = target_find_event(o->a->target, o->a->name_len, &event);
	if (r < 0)
		return explain(o, r, "no event \"%s\"", o->a->target);
	attr.type = event.type;
	attr.config = event.config;
	attr.freq = !(o->a->flags & LOADPLAN_PERF_PERIOD);
	attr.sample_freq = o->a->rate; /* or sample_period, the same place */
	for (cpu = 0; cpu < CPUS_MAX; cpu++) {
		r = add_event(o, &attr, cpu);
		if (r == 0)
			opened++;
		else if (r == -EINVAL && opened > 0)
			break;         /* beyond the last processor */
		else if (r != -ENODEV) /* that one is offline */
			break;
	}
	if (opened > 0 && (r == -EINVAL || r == 0))
		return 0;
	if (r == -ENOENT || r == -EOPNOTSUPP)
		return explain(o, r,
		    "this machine cannot count or sample \"%s\" (%s): virtual "
		    "machines often have no hardware events; cpu-clock is "
		    "always there",
		    o->a->target, strerror(-r));
	return explain(
	    o, r, "cannot open \"%s\": %s", o->a->target, strerror(-r));
}

static int
open_one(struct opener *o)
{
	switch (attach_row(o->a->kind)->target) {
	case TARGET_TRACEPOINT:
		return open_tracepoint(o);
	case TARGET_KPROBE:
		return open_kprobe(o);
	case TARGET_BINARY:
		return open_uprobe(o);
	default:
		return open_samples(o);
	}
}

int
broker_open_events(const struct loadplan *plan, const struct probes *probes,
    struct broker_events *events, char *error, size_t size)
{
	struct opener o = {
		.plan = plan, .events = events, .error = error, .size = size
	};
	uint32_t i;
	int r = 0;

	memset(events, 0, sizeof(*events));
	for (i = 0; r == 0 && i < plan->header->attach_count; i++) {
		o.attach = i;
		o.a = &plan->attaches[i];
		o.kind = attach_row(o.a->kind)->name;
		o.site = probes == NULL ? NULL : &probes->sites[i];
		if (attach_row(o.a->kind)->method == METHOD_PERF)
			r = open_one(&o);
	}
	if (r < 0)
		broker_events_release(events);
	return r;
}

void
broker_events_release(struct broker_events *events)
{
	size_t i;

	for (i = 0; i < events->count; i++)
		fd_close(&events->items[i].fd);
	free(events->items);
	memset(events, 0, sizeof(*events));
}
