/* SPDX-License-Identifier: ISC */
/*
 * verifyd: is this artifact what its signer made, and what is to be done
 * with it?  Sees foreign bytes, and therefore has nothing: no network, no
 * files, no capability, no secret.  See verifyd(8).
 */
#include <locale.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/time.h>

#include "common/log.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/worker.h"
#include "verifyd/artifact.h"
#include "verifyd/elf_symbol.h"
#include "verifyd/describe.h"

struct verifyd {
	struct worker worker;
	struct msg_verify_config config;
	bool configured;
	struct keyring keys;
	/* Of the artifact that comes next. */
	struct memfd_map parameters;
	uint64_t parameters_id;
};

static int
handle_config(struct imsg *m, void *ctx)
{
	const struct msg_verify_config *config = msg_get_VERIFY_CONFIG(m);
	struct verifyd *v = ctx;

	if (!MSG_TEXT_OK(config->architecture) ||
	    !MSG_TEXT_OK(config->kernel_release) ||
	    config->parameters_policy > PARAMETERS_ANY ||
	    config->may_inspect > 1 || config->cpu_limit_sec > 3600)
		return -EINVAL;
	/* Whose verifyd it is does not change in its life. */
	if (v->configured && config->may_inspect != v->config.may_inspect)
		return -EPERM;
	v->config = *config;
	v->configured = true;
	return 0;
}

static int
handle_keys(struct imsg *m, void *ctx)
{
	const struct msg_verify_keys *keys = msg_get_VERIFY_KEYS(m);
	_cleanup_memfd_map_ struct memfd_map map = { NULL, 0 };
	struct problems problems = { 0 };
	struct verifyd *v = ctx;
	struct keyset set;
	const char *what;
	int r;

	r = memfd_map(m->fd, KEYSET_MAX, &map);
	if (r < 0)
		return r;
	if (keys->is_keyset) {
		r = keyset_check(map.data, map.len, &set, &what);
		if (r < 0)
			return r;
		r = keyring_load_set(&v->keys, &set, &problems);
	} else {
		r = keyring_load_text(&v->keys, map.data, map.len, &problems);
	}
	/* Keys have no DONE message: what is wrong with them is said here. */
	if (problems.count > 0)
		log_line(LOG_LEVEL_ERROR, NULL, problems_text(&problems),
		    "some verification keys cannot be used");
	if (r < 0)
		log_error("no usable verification key: every artifact waits");
	else
		log_info("%u verification key(s), first %s", v->keys.count,
		    v->keys.keys[0].id);
	return 0;
}

static int
handle_parameters(struct imsg *m, void *ctx)
{
	struct verifyd *v = ctx;

	memfd_unmap(&v->parameters);
	v->parameters_id = m->id;
	return memfd_map(m->fd, AEGIS_PARAMETERS_MAX, &v->parameters);
}

static bool
entry_is_sound(const struct msg_verify_artifact *a)
{
	return MSG_ID_OK(a->artifact_id) && MSG_TEXT_OK(a->name) &&
	    MSG_TEXT_OK(a->version) && MSG_TEXT_OK(a->architecture) &&
	    MSG_TEXT_OK(a->kernel_version) && a->has_sha256 <= 1 &&
	    a->has_parameters <= 1 &&
	    str_is_terminated(a->signature, sizeof(a->signature));
}

static int
send_results(struct verifyd *v, uint64_t id, struct artifact_output *out)
{
	struct msg_verify_object object = { 0 };
	struct msg_verify_plan plan = { 0 };
	struct msg_verify_effective effective = { 0 };
	int r;

	memcpy(object.sha256, out->object_sha256, sizeof(object.sha256));
	r = msg_send_VERIFY_OBJECT(
	    v->worker.agentd, id, &object, fd_steal(&out->object_fd));
	if (r == 0)
		r = msg_send_VERIFY_PLAN(
		    v->worker.agentd, id, &plan, fd_steal(&out->plan_fd));
	if (r == 0)
		r = msg_send_VERIFY_EFFECTIVE(v->worker.agentd, id, &effective,
		    fd_steal(&out->effective_fd));
	return r;
}

static int
send_answer(struct verifyd *v, uint64_t id, struct artifact_output *out)
{
	struct msg_verify_done done = { .result = out->result,
		.key_version = out->key_version };
	int r = 0;

	str_copy_cut(done.key_id, sizeof(done.key_id), out->key_id);
	if (out->result == WORK_OK)
		r = send_results(v, id, out);
	else
		str_copy_cut(done.error, sizeof(done.error),
		    problems_text(&out->problems));
	if (r == 0)
		r = msg_send_VERIFY_DONE(v->worker.agentd, id, &done);
	return r == -EPIPE ? 0 : r;
}

/*
 * An artifact that costs more CPU time than is allowed ends this process
 * (SIGPROF); agentd, which sees it die over this artifact, decides what
 * becomes of the artifact.  0 seconds: no more limit.
 */
static int
limit_cpu(uint32_t sec)
{
	const struct itimerval limit = { .it_value.tv_sec = sec };

	return setitimer(ITIMER_PROF, &limit, NULL) == -1 ? -errno : 0;
}

static int
handle_artifact(struct imsg *m, void *ctx)
{
	const struct msg_verify_artifact *entry = msg_get_VERIFY_ARTIFACT(m);
	_cleanup_artifact_output_ struct artifact_output out = {
		.object_fd = -1, .plan_fd = -1, .effective_fd = -1
	};
	_cleanup_memfd_map_ struct memfd_map map = { NULL, 0 };
	struct artifact_input in = { .entry = entry };
	struct verifyd *v = ctx;
	int r;

	if (!entry_is_sound(entry) || !v->configured ||
	    (entry->has_parameters && v->parameters_id != m->id))
		return -EINVAL;
	r = memfd_map(m->fd, AEGIS_ARTIFACT_MAX, &map);
	if (r < 0)
		return r;
	in.keys = &v->keys;
	in.config = &v->config;
	in.data = map.data;
	in.len = map.len;
	if (entry->has_parameters) {
		in.parameters = v->parameters.data;
		in.parameters_len = v->parameters.len;
	}
	r = limit_cpu(v->config.cpu_limit_sec);
	if (r < 0)
		return r;
	artifact_verify(&in, &out);
	r = limit_cpu(0);
	memfd_unmap(&v->parameters);
	if (r < 0)
		return r;
	return send_answer(v, m->id, &out);
}

/* A uprobe's function in a binary of this host, which is foreign, too. */
static int
handle_symbol(struct imsg *m, void *ctx)
{
	const struct msg_verify_symbol *msg = msg_get_VERIFY_SYMBOL(m);
	struct msg_verify_symbol_at at = { .attach = msg->attach,
		.round = msg->round };
	struct verifyd *v = ctx;
	int r;

	if (!MSG_TEXT_OK(msg->symbol) || !v->configured)
		return -EINVAL;
	r = limit_cpu(v->config.cpu_limit_sec);
	if (r < 0)
		return r;
	if (elf_symbol_offset(
		m->fd, msg->symbol, &at.offset, at.error, sizeof(at.error)) < 0)
		at.result = WORK_REFUSED;
	r = limit_cpu(0);
	if (r == 0)
		r = msg_send_VERIFY_SYMBOL_AT(v->worker.agentd, m->id, &at);
	return r == -EPIPE ? 0 : r;
}

static int
send_description(struct verifyd *v, uint64_t id, struct describe_output *out)
{
	struct msg_verify_done done = { .result = out->result };
	int r = 0;

	str_copy_cut(done.key_id, sizeof(done.key_id), out->key_id);
	str_copy_cut(
	    done.error, sizeof(done.error), problems_text(&out->problems));
	if (out->fd >= 0)
		r = msg_send_VERIFY_DESCRIPTION(
		    v->worker.agentd, id, &out->names, fd_steal(&out->fd));
	if (r == 0)
		r = msg_send_VERIFY_DONE(v->worker.agentd, id, &done);
	return r == -EPIPE ? 0 : r;
}

/*
 * Bytes that perhaps nobody signed: for aegisctl, which says so when it
 * configures this process.  The agent's own verifyd does not do it.
 */
static int
handle_inspect(struct imsg *m, void *ctx)
{
	const struct msg_verify_inspect *want = msg_get_VERIFY_INSPECT(m);
	_cleanup_describe_output_ struct describe_output out = { .fd = -1 };
	_cleanup_memfd_map_ struct memfd_map map = { NULL, 0 };
	struct describe_input in = { .want = want };
	struct verifyd *v = ctx;
	int r;

	if (!v->configured || !v->config.may_inspect ||
	    want->has_signature > 1 || want->as_text > 1 ||
	    !str_is_terminated(want->signature, sizeof(want->signature)))
		return -EINVAL;
	r = memfd_map(m->fd, AEGIS_ARTIFACT_MAX, &map);
	if (r < 0)
		return r;
	in.keys = &v->keys;
	in.config = &v->config;
	in.data = map.data;
	in.len = map.len;
	r = limit_cpu(v->config.cpu_limit_sec);
	if (r < 0)
		return r;
	describe_artifact(&in, &out);
	r = limit_cpu(0);
	return r < 0 ? r : send_description(v, m->id, &out);
}

/*
 * What libraries load lazily must be there before the sandbox closes:
 * algorithms, the character tables of UTF-8 (for names in archives and
 * patterns).
 */
static int
start(struct worker *w)
{
	struct verifyd *v = w->ctx;

	if (!v->configured) {
		log_error("VERIFY_CONFIG did not come before CONFIG_END");
		return -EINVAL;
	}
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	if (OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CRYPTO_STRINGS |
		    OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_LOAD_CONFIG,
		NULL) != 1) {
		log_error("OpenSSL does not start");
		return -EIO;
	}
	return 0;
}

int
main(void)
{
	static imsg_handler handlers[MSG_TYPE_MAX];
	static struct verifyd verifyd;
	const struct worker_ops ops = { .handlers = handlers, .start = start };
	int status;

	handlers[MSG_VERIFY_CONFIG] = handle_config;
	handlers[MSG_VERIFY_KEYS] = handle_keys;
	handlers[MSG_VERIFY_PARAMETERS] = handle_parameters;
	handlers[MSG_VERIFY_ARTIFACT] = handle_artifact;
	handlers[MSG_VERIFY_SYMBOL] = handle_symbol;
	handlers[MSG_VERIFY_INSPECT] = handle_inspect;
	status = worker_main(&verifyd.worker, PROC_VERIFY, &ops, &verifyd);
	memfd_unmap(&verifyd.parameters);
	keyring_clear(&verifyd.keys);
	return status;
}
