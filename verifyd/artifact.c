/* SPDX-License-Identifier: ISC */
#include "verifyd/artifact.h"

#include <openssl/evp.h>
#include <string.h>

#include "common/loadplan.h"
#include "common/memfd.h"
#include "common/strnum.h"
#include "verifyd/counters.h"
#include "verifyd/metadata.h"
#include "verifyd/object.h"
#include "verifyd/params.h"
#include "verifyd/plan.h"
#include "verifyd/signature.h"
#include "verifyd/unpack.h"

void
artifact_output_release(struct artifact_output *out)
{
	fd_close(&out->object_fd);
	fd_close(&out->plan_fd);
	fd_close(&out->effective_fd);
}

/* The checksum first: it names damage for what it is, with -ESTALE. */
static int
check_authenticity(const struct artifact_input *in, struct artifact_output *out)
{
	const struct msg_verify_artifact *entry = in->entry;
	char is[2 * AEGIS_SHA256_SIZE + 1], wanted[sizeof(is)];
	uint8_t sha256[AEGIS_SHA256_SIZE];
	const struct keyring_key *key;
	uint32_t version;
	int r;

	if (EVP_Digest(in->data, in->len, sha256, NULL, EVP_sha256(), NULL) !=
	    1)
		return -ENOMEM;
	if (entry->has_sha256 &&
	    memcmp(sha256, entry->sha256, sizeof(sha256)) != 0) {
		strnum_format_hex(sha256, sizeof(sha256), is);
		strnum_format_hex(entry->sha256, sizeof(sha256), wanted);
		problem_add(&out->problems,
		    "checksum mismatch: the artifact's SHA-256 is %s, the "
		    "registry says %s",
		    is, wanted);
		return -ESTALE;
	}
	r = signature_verify(in->keys, entry->signature, in->data, in->len,
	    sha256, &key, &version, &out->problems);
	if (r == -ENOKEY)
		out->key_version = version;
	if (r < 0)
		return r;
	return str_copy(out->key_id, sizeof(out->key_id), key->id);
}

static int
read_metadata(const struct artifact_input *in, struct unpacked *u,
    struct metadata *m, struct problems *problems)
{
	const struct metadata_expected expected = {
		.name = in->entry->name,
		.version = in->entry->version,
		.entry_architecture = in->entry->architecture,
		.entry_kernel_version = in->entry->kernel_version,
		.host_architecture = in->config->architecture,
		.host_kernel = in->config->kernel_release,
	};
	int r;

	r = metadata_parse(u->metadata, u->metadata_len, m, problems);
	if (r < 0)
		return r;
	metadata_check(m, &expected, problems);
	metadata_check_sums(m, u, problems);
	return problems->count > 0 ? -EBADMSG : 0;
}

/* The parameters in force, owned; NULL with problems or for want of memory. */
static struct json_object *
merge_parameters(const struct artifact_input *in, const struct metadata *m,
    struct problems *problems)
{
	_cleanup_json_ struct json_object *from_registry = NULL;

	if (in->parameters != NULL) {
		from_registry = json_parse(in->parameters, in->parameters_len,
		    "the registry's parameters", problems);
		if (from_registry == NULL)
			return NULL;
	}
	return params_merge(m, from_registry,
	    (enum parameters_policy)in->config->parameters_policy, problems);
}

int
artifact_fill_plan(const struct object *o, const struct metadata *m,
    struct json_object *effective, struct loadplan_builder *plan,
    struct problems *problems)
{
	int r;

	plan_header(o, m, plan);
	r = plan_contents(o, m, plan, problems);
	if (r == 0)
		r = plan_attaches(o, m, effective, plan, problems);
	if (r == 0)
		r = params_apply(effective, m, o, plan, problems);
	if (r == 0)
		r = counters_plan(o, m->telemetry, plan, problems);
	if (r == 0 && problems->count > 0)
		r = -EBADMSG;
	return r;
}

static int
make_plan(const struct artifact_input *in, const struct unpacked *u,
    const struct metadata *m, struct artifact_output *out)
{
	_cleanup_(loadplan_builder_freep) struct loadplan_builder *plan =
	    loadplan_builder_new();
	_cleanup_json_ struct json_object *effective = NULL;
	_cleanup_object_ struct object o = { 0 };
	const char *text;
	int r;

	if (plan == NULL)
		return -ENOMEM;
	r = object_open(
	    &o, u->object.data, u->object.len, m->name, &out->problems);
	if (r < 0)
		return r;
	effective = merge_parameters(in, m, &out->problems);
	if (effective == NULL)
		return out->problems.count > 0 ? -EBADMSG : -ENOMEM;
	r = artifact_fill_plan(&o, m, effective, plan, &out->problems);
	if (r < 0)
		return r;
	out->plan_fd = loadplan_finish(plan);
	if (out->plan_fd == -E2BIG)
		problem_add(&out->problems,
		    "the load plan exceeds %u MiB: fewer parameters",
		    AEGIS_PLAN_MAX >> 20);
	if (out->plan_fd < 0)
		return out->plan_fd;
	text = json_object_to_json_string_ext(
	    effective, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (text == NULL)
		return -ENOMEM;
	out->effective_fd = memfd_from_bytes("parameters", text, strlen(text));
	return out->effective_fd < 0 ? out->effective_fd : 0;
}

static int
verify(const struct artifact_input *in, struct artifact_output *out)
{
	_cleanup_unpacked_ struct unpacked u = UNPACKED_INIT;
	_cleanup_metadata_ struct metadata m = { 0 };
	const struct unpacked_member *object;
	int r;

	r = check_authenticity(in, out);
	if (r < 0)
		return r;
	r = unpack_artifact(in->data, in->len, &u, &out->problems);
	if (r < 0)
		return r;
	r = read_metadata(in, &u, &m, &out->problems);
	if (r < 0)
		return r;
	r = make_plan(in, &u, &m, out);
	if (r < 0)
		return r;
	object = unpacked_find(&u, "program.o");
	if (object->has_sum)
		memcpy(out->object_sha256, object->sha256,
		    sizeof(out->object_sha256));
	out->object_fd = fd_steal(&u.object_fd);
	return 0;
}

void
artifact_verify(const struct artifact_input *in, struct artifact_output *out)
{
	int r;

	memset(out, 0, sizeof(*out));
	out->object_fd = out->plan_fd = out->effective_fd = -1;
	r = verify(in, out);
	if (r == 0) {
		out->result = WORK_OK;
		return;
	}
	artifact_output_release(out);
	if (r == -ESTALE) {
		out->result = WORK_MISMATCH;
		return;
	}
	/* A problem without words is ours, not the artifact's. */
	out->result = r == -ENOKEY || out->problems.count == 0 ? WORK_TRANSIENT
							       : WORK_REFUSED;
	if (out->problems.count == 0)
		problem_add(&out->problems, "verifyd: %s", strerror(-r));
}
