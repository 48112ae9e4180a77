/* SPDX-License-Identifier: ISC */
/*
 * dry-run: verify, plan, load, attach nothing.  What was loaded goes when the
 * bpfd that was started for it ends.
 */
#include <err.h>
#include <inttypes.h>
#include <linux/bpf.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "aegisctl/files.h"
#include "aegisctl/judge.h"
#include "aegisctl/offline.h"
#include "aegisctl/table.h"
#include "common/loadplan.h"
#include "common/memfd.h"

struct trial {
	struct helper helper;
	const struct loadplan *plan;
	struct {
		bool loaded;
		uint32_t xlated, jited, verified; /* bytes, bytes, insns */
	} progs[LOADPLAN_MAX_PROGS];
	struct memfd_map log;
	bool done;
	struct msg_load_done result;
};

/* What the kernel made of it; 0 where it does not say. */
static void
look_at_program(struct trial *t, uint32_t index, int fd)
{
	struct bpf_prog_info info;
	union bpf_attr attr;

	memset(&info, 0, sizeof(info));
	memset(&attr, 0, sizeof(attr));
	attr.info.bpf_fd = (uint32_t)fd;
	attr.info.info_len = sizeof(info);
	attr.info.info = (uint64_t)(uintptr_t)&info;
	t->progs[index].loaded = true;
	if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) == -1)
		return;
	t->progs[index].xlated = info.xlated_prog_len;
	t->progs[index].jited = info.jited_prog_len;
	t->progs[index].verified = info.verified_insns;
}

static int
handle_prog(struct imsg *m, void *ctx)
{
	const struct msg_load_prog *prog = msg_get_LOAD_PROG(m);
	struct trial *t = ctx;

	if (prog->index >= t->plan->header->prog_count)
		return -EINVAL;
	look_at_program(t, prog->index, m->fd);
	return 0;
}

/* Maps, and the interfaces there are: nothing is attached to any. */
static int
handle_unused(struct imsg *m, void *ctx)
{
	return 0; /* closed with the message */
}

static int
handle_verifier_log(struct imsg *m, void *ctx)
{
	struct trial *t = ctx;

	memfd_unmap(&t->log);
	return memfd_map(m->fd, AEGIS_VERIFIER_LOG, &t->log);
}

static int
handle_done(struct imsg *m, void *ctx)
{
	struct trial *t = ctx;

	t->result = *msg_get_LOAD_DONE(m);
	if (t->result.result >= WORK_RESULT_MAX ||
	    !str_is_terminated(t->result.error, sizeof(t->result.error)))
		return -EINVAL;
	str_scrub(t->result.error, sizeof(t->result.error));
	t->done = true;
	return 0;
}

/* No LOAD_LINK: one that attaches breaks the rules, and the channel. */
static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_LOAD_PROG] = handle_prog,
	[MSG_LOAD_MAP] = handle_unused,
	[MSG_INTERFACES] = handle_unused,
	[MSG_LOAD_VERIFIER_LOG] = handle_verifier_log,
	[MSG_LOAD_DONE] = handle_done,
};

static int
send_load(struct trial *t, struct judge *j)
{
	struct msg_load_object object = { .artifact_id = "aegisctl" };
	struct msg_load_plan plan = { .artifact_id = "aegisctl" };
	const struct msg_load_start start = { .attach_nothing = 1 };
	struct imsg_channel *ch = t->helper.channel;
	int r;

	r = msg_send_LOAD_OBJECT(ch, 1, &object, fd_steal(&j->object));
	if (r == 0)
		r = msg_send_LOAD_PLAN(ch, 1, &plan, fd_steal(&j->plan));
	if (r == 0)
		r = msg_send_LOAD_START(ch, 1, &start);
	return r;
}

/* Where cgroups are; "" if nowhere. */
static void
find_cgroup_root(char *out, size_t size)
{
	FILE *f = setmntent("/proc/self/mounts", "re");
	const struct mntent *m;

	out[0] = '\0';
	while (f != NULL && out[0] == '\0' && (m = getmntent(f)) != NULL)
		if (strcmp(m->mnt_type, "cgroup2") == 0)
			str_copy_cut(out, size, m->mnt_dir);
	if (f != NULL)
		(void)endmntent(f);
}

static int
try_load(struct trial *t, struct judge *j)
{
	struct msg_bpf_config config = { .cgroup_root = "" };
	int r;

	find_cgroup_root(config.cgroup_root, sizeof(config.cgroup_root));
	r = helper_start(&t->helper, PROC_BPF, handlers, t);
	if (r == 0)
		r = msg_send_BPF_CONFIG(t->helper.channel, 0, &config);
	if (r == 0)
		r = helper_configured(&t->helper);
	if (r == 0)
		r = send_load(t, j);
	if (r == 0)
		r = helper_wait(&t->helper, &t->done);
	if (r < 0)
		warnx("%s",
		    t->helper.text[0] != '\0' ? t->helper.text : strerror(-r));
	return r;
}

static void
print_report(const struct trial *t)
{
	const struct loadplan *p = t->plan;
	const struct attach_row *row;
	char line[512];
	uint32_t i;

	(void)printf("%s %s: loads, in %.3f ms; nothing was attached\n",
	    p->header->name, p->header->artifact_version,
	    (double)t->result.load_us / 1e3);
	for (i = 0; i < p->header->prog_count; i++) {
		(void)snprintf(line, sizeof(line),
		    t->progs[i].loaded ? "%s: %u instructions verified, %u "
					 "bytes, %u compiled"
				       : "%s: not loaded, no entry asks for it",
		    p->progs[i].name, t->progs[i].verified, t->progs[i].xlated,
		    t->progs[i].jited);
		table_text(stdout, "  program ", line, strlen(line));
	}
	for (i = 0; i < p->header->attach_count; i++) {
		row = attach_row(p->attaches[i].kind);
		(void)snprintf(line, sizeof(line), "%s to %s by %s",
		    p->progs[p->attaches[i].prog].name, p->attaches[i].target,
		    row->name);
		table_text(stdout, "  would attach ", line, strlen(line));
	}
}

/* Strings of a checked plan are text, but for quotes. */
static void
put_string(const char *s, size_t len)
{
	(void)putchar('"');
	for (; len > 0 && *s != '\0'; s++, len--) {
		if (*s == '"' || *s == '\\')
			(void)printf("\\%c", *s);
		else if (*s == '\n')
			(void)fputs("\\n", stdout);
		else if ((unsigned char)*s < ' ')
			(void)printf("\\u%04x", *s);
		else
			(void)putchar(*s);
	}
	(void)putchar('"');
}

static void
print_json(const struct trial *t, int status, const char *error)
{
	const struct loadplan *p = t->plan;
	uint32_t i;

	(void)printf("{\"ok\":%s,\"error\":", status == 0 ? "true" : "false");
	put_string(error, strlen(error));
	(void)printf(",\"load_ms\":%.3f,\"programs\":[",
	    (double)t->result.load_us / 1e3);
	for (i = 0; p != NULL && i < p->header->prog_count; i++) {
		(void)printf("%s{\"name\":", i > 0 ? "," : "");
		put_string(p->progs[i].name, sizeof(p->progs[i].name));
		(void)printf(",\"loaded\":%s,\"verified_instructions\":%u,"
			     "\"bytes\":%u,\"compiled_bytes\":%u}",
		    t->progs[i].loaded ? "true" : "false", t->progs[i].verified,
		    t->progs[i].xlated, t->progs[i].jited);
	}
	(void)fputs("],\"would_attach\":[", stdout);
	for (i = 0; p != NULL && i < p->header->attach_count; i++) {
		(void)printf("%s{\"program\":", i > 0 ? "," : "");
		put_string(p->progs[p->attaches[i].prog].name,
		    sizeof(p->progs[0].name));
		(void)fputs(",\"target\":", stdout);
		put_string(
		    p->attaches[i].target, sizeof(p->attaches[i].target));
		(void)fputs(",\"kind\":", stdout);
		put_string(attach_row(p->attaches[i].kind)->name, 64);
		(void)fputs("}", stdout);
	}
	(void)fputs("]", stdout);
	if (t->log.len > 0) {
		(void)fputs(",\"verifier_log\":", stdout);
		put_string(t->log.data, t->log.len);
	}
	(void)fputs("}\n", stdout);
}

static int
report(const struct offline_options *o, const char *file, struct trial *t,
    const char *error)
{
	int status = error[0] != '\0' ? 1 : 0;

	if (o->json) {
		print_json(t, status, error);
	} else if (status == 0) {
		print_report(t);
	} else {
		(void)fflush(stdout);
		warnx("%s: %s", file, error);
		if (t->log.len > 0) {
			(void)printf("verifier's log:\n");
			table_text(stdout, "    ", t->log.data, t->log.len);
		}
	}
	return status;
}

static int
load(const struct offline_options *o, const char *file, struct judge *j)
{
	_cleanup_memfd_map_ struct memfd_map map = { NULL, 0 };
	struct loadplan plan;
	struct trial t = { .plan = &plan };
	const char *what = "mapping";
	int status = 1;

	if (memfd_map(j->plan, AEGIS_PLAN_MAX, &map) < 0 ||
	    loadplan_check(map.data, map.len, &plan, &what) < 0) {
		warnx("%s: verifyd's load plan is none: %s", file, what);
		return 1;
	}
	if (try_load(&t, j) == 0)
		status = report(o, file, &t, t.result.error);
	helper_stop(&t.helper);
	memfd_unmap(&t.log);
	return status;
}

static int
judge_and_load(const struct offline_options *o, const char *file,
    struct judge *j, int artifact, int parameters)
{
	struct trial none = { .plan = NULL };

	if (judge_describe(j, artifact) < 0)
		return 1;
	if (j->description < 0)
		return report(o, file, &none, j->error);
	if (judge_plan(j, artifact, parameters) < 0)
		return 1;
	if (j->result != WORK_OK)
		return report(o, file, &none, j->error);
	return load(o, file, j);
}

int
offline_dry_run(const struct offline_options *o, const char *file)
{
	_cleanup_fd_ int artifact = -1, keys = -1, parameters = -1;
	char signature[AEGIS_SIGNATURE_SIZE];
	struct judge j;
	int r, status = 1;

	if (geteuid() != 0) {
		warnx("dry-run loads into the kernel: this needs root");
		return 77;
	}
	artifact = files_seal(file, AEGIS_ARTIFACT_MAX);
	keys = artifact < 0 ? -1 : files_keys(o->key);
	if (keys < 0)
		return 1;
	r = files_signature(file, o->signature, signature, sizeof(signature));
	if (r < 0) {
		if (r == -ENOENT)
			warnx("%s: no signature: there is no %s.sig, give -s",
			    file, file);
		return 1;
	}
	if (o->parameters != NULL) {
		parameters = files_seal(o->parameters, AEGIS_PARAMETERS_MAX);
		if (parameters < 0)
			return 1;
	}
	if (judge_open(&j, keys) == 0) {
		j.signature = signature;
		status = judge_and_load(o, file, &j, artifact, parameters);
	}
	judge_close(&j);
	return status;
}
