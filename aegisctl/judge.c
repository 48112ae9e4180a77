/* SPDX-License-Identifier: ISC */
#include "aegisctl/judge.h"

#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#include "common/memfd.h"

/* The agent's own limit, see its VERIFY_CONFIG. */
#define CPU_LIMIT_SEC 20

static int
copy_fd(int fd)
{
	return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static int
keep_fd(int *to, struct imsg *m, size_t max)
{
	_cleanup_memfd_map_ struct memfd_map map = { NULL, 0 };
	int r = memfd_map(m->fd, max, &map);

	if (r < 0)
		return r;
	fd_close(to);
	*to = imsg_take_fd(m);
	return 0;
}

static int
handle_description(struct imsg *m, void *ctx)
{
	const struct msg_verify_description *d = msg_get_VERIFY_DESCRIPTION(m);
	struct judge *j = ctx;

	if (!MSG_ID_OK(d->name) || !MSG_ID_OK(d->version) ||
	    !MSG_TEXT_OK(d->architecture))
		return -EINVAL;
	j->names = *d;
	return keep_fd(&j->description, m, DESCRIPTION_MAX);
}

static int
handle_object(struct imsg *m, void *ctx)
{
	struct judge *j = ctx;

	return keep_fd(&j->object, m, AEGIS_EXTRACTED_MAX);
}

static int
handle_plan(struct imsg *m, void *ctx)
{
	struct judge *j = ctx;

	return keep_fd(&j->plan, m, AEGIS_PLAN_MAX);
}

static int
handle_effective(struct imsg *m, void *ctx)
{
	struct judge *j = ctx;

	return keep_fd(&j->effective, m, AEGIS_PARAMETERS_MAX);
}

static int
handle_done(struct imsg *m, void *ctx)
{
	const struct msg_verify_done *done = msg_get_VERIFY_DONE(m);
	struct judge *j = ctx;

	if (done->result > WORK_REFUSED || !MSG_TEXT_OK(done->key_id) ||
	    !str_is_terminated(done->error, sizeof(done->error)))
		return -EINVAL;
	j->result = (enum work_result)done->result;
	str_copy_cut(j->key_id, sizeof(j->key_id), done->key_id);
	str_copy_cut(j->error, sizeof(j->error), done->error);
	str_scrub(j->error, sizeof(j->error));
	j->done = true;
	return 0;
}

static const imsg_handler handlers[MSG_TYPE_MAX] = {
	[MSG_VERIFY_DESCRIPTION] = handle_description,
	[MSG_VERIFY_OBJECT] = handle_object,
	[MSG_VERIFY_PLAN] = handle_plan,
	[MSG_VERIFY_EFFECTIVE] = handle_effective,
	[MSG_VERIFY_DONE] = handle_done,
};

static int
complain(struct judge *j, int r)
{
	if (r < 0)
		warnx("%s",
		    j->helper.text[0] != '\0' ? j->helper.text : strerror(-r));
	return r;
}

static int
configure(struct judge *j)
{
	struct msg_verify_config config = {
		.parameters_policy = PARAMETERS_SCHEMA,
		.cpu_limit_sec = CPU_LIMIT_SEC,
		.may_inspect = 1,
	};
	const struct msg_verify_keys keys = { .is_keyset = 0 };
	struct utsname uts;
	int r;

	if (uname(&uts) == -1)
		return -errno;
	str_copy_cut(
	    config.architecture, sizeof(config.architecture), uts.machine);
	str_copy_cut(
	    config.kernel_release, sizeof(config.kernel_release), uts.release);
	r = msg_send_VERIFY_CONFIG(j->helper.channel, 0, &config);
	if (r == 0)
		r = helper_configured(&j->helper);
	if (r == 0 && j->keys >= 0)
		r = msg_send_VERIFY_KEYS(
		    j->helper.channel, 0, &keys, copy_fd(j->keys));
	return r;
}

int
judge_open(struct judge *j, int keys)
{
	int r;

	memset(j, 0, sizeof(*j));
	j->keys = keys;
	j->description = j->object = j->plan = j->effective = -1;
	r = helper_start(&j->helper, PROC_VERIFY, handlers, j);
	return complain(j, r < 0 ? r : configure(j));
}

int
judge_describe(struct judge *j, int artifact)
{
	struct msg_verify_inspect want = {
		.has_signature = j->signature != NULL,
		.as_text = j->as_text,
	};
	int r = 0;

	j->done = false;
	if (j->signature != NULL)
		r = str_copy(
		    want.signature, sizeof(want.signature), j->signature);
	if (r == 0)
		r = msg_send_VERIFY_INSPECT(
		    j->helper.channel, 1, &want, copy_fd(artifact));
	if (r == 0)
		r = helper_wait(&j->helper, &j->done);
	if (r == 0 && j->result == WORK_OK && j->description < 0)
		r = -EPROTO;
	return complain(j, r);
}

int
judge_plan(struct judge *j, int artifact, int parameters)
{
	const struct msg_verify_parameters note = { { 0 } };
	struct msg_verify_artifact entry = {
		.has_parameters = parameters >= 0,
	};
	int r;

	j->done = false;
	str_copy_cut(entry.artifact_id, sizeof(entry.artifact_id), "aegisctl");
	str_copy_cut(entry.name, sizeof(entry.name), j->names.name);
	str_copy_cut(entry.version, sizeof(entry.version), j->names.version);
	r = str_copy(entry.signature, sizeof(entry.signature),
	    j->signature != NULL ? j->signature : "");
	if (r == 0 && parameters >= 0)
		r = msg_send_VERIFY_PARAMETERS(
		    j->helper.channel, 2, &note, copy_fd(parameters));
	if (r == 0)
		r = msg_send_VERIFY_ARTIFACT(
		    j->helper.channel, 2, &entry, copy_fd(artifact));
	if (r == 0)
		r = helper_wait(&j->helper, &j->done);
	if (r == 0 && j->result == WORK_OK && (j->object < 0 || j->plan < 0))
		r = -EPROTO;
	return complain(j, r);
}

void
judge_close(struct judge *j)
{
	helper_stop(&j->helper);
	fd_close(&j->description);
	fd_close(&j->object);
	fd_close(&j->plan);
	fd_close(&j->effective);
}
