/* SPDX-License-Identifier: ISC */
#include "verifyd/describe.h"

#include <openssl/evp.h>
#include <string.h>

#include "common/memfd.h"
#include "common/strnum.h"
#include "verifyd/artifact.h"
#include "verifyd/describe_json.h"
#include "verifyd/params.h"
#include "verifyd/signature.h"
#include "verifyd/unpack.h"

void
describe_output_release(struct describe_output *out)
{
	fd_close(&out->fd);
}

static int
check_signature(const struct describe_input *in, const uint8_t *sha256,
    struct describe_output *out)
{
	const struct keyring_key *key;
	uint32_t version;
	int r;

	if (!in->want->has_signature)
		return 0;
	r = signature_verify(in->keys, in->want->signature, in->data, in->len,
	    sha256, &key, &version, &out->problems);
	return r < 0 ? r : str_copy(out->key_id, sizeof(out->key_id), key->id);
}

/* A value of the right form for a placeholder that has none yet. */
static struct json_object *
stand_in(enum attach_where where)
{
	switch (where) {
	case WHERE_INTERFACE:
		return json_object_new_string("lo");
	case WHERE_CGROUP:
		return json_object_new_string("/");
	case WHERE_MODE:
		return json_object_new_string("auto");
	case WHERE_DIRECTION:
		return json_object_new_string("ingress");
	case WHERE_PRIORITY:
	case WHERE_OFFSET:
		return json_object_new_int(1);
	default:
		return NULL; /* no name that would surely be right */
	}
}

/* All that a plan would find wrong, whatever the placeholders will be. */
static int
try_plan(
    const struct object *o, const struct metadata *m, struct problems *problems)
{
	_cleanup_(loadplan_builder_freep) struct loadplan_builder *plan =
	    loadplan_builder_new();
	_cleanup_json_ struct json_object *effective =
	    params_merge(m, NULL, PARAMETERS_SCHEMA, problems);
	struct json_object *where, *value;
	const char *text;
	unsigned int i, k;

	if (plan == NULL || effective == NULL)
		return -ENOMEM;
	for (i = 0; i < m->attach_count; i++)
		for (k = 0; k < WHERE_MAX; k++) {
			where = m->attaches[i].where[k];
			if (!json_object_is_type(where, json_type_string))
				continue;
			text = json_object_get_string(where);
			if (text[0] != '$' ||
			    json_object_object_get_ex(
				effective, text + 1, NULL))
				continue;
			value = stand_in((enum attach_where)k);
			if (value == NULL)
				return 0; /* it depends: dry-run tells */
			if (json_object_object_add(effective, text + 1, value) <
			    0) {
				(void)json_object_put(value);
				return -ENOMEM;
			}
		}
	return artifact_fill_plan(o, m, effective, plan, problems);
}

static void
add_text(struct json_object *doc, const char *key, const char *value)
{
	struct json_object *s = json_object_new_string(value);

	if (s != NULL && json_object_object_add(doc, key, s) < 0)
		(void)json_object_put(s);
}

/* Architecture and kernel: would the agent of this host take it? */
static void
add_host(const struct describe_input *in, const struct metadata *m,
    struct json_object *doc)
{
	const struct metadata_expected expected = {
		.name = m->name,
		.version = m->version,
		.entry_architecture = "",
		.entry_kernel_version = "",
		.host_architecture = in->config->architecture,
		.host_kernel = in->config->kernel_release,
	};
	struct problems problems = { 0 };

	metadata_check(m, &expected, &problems);
	add_text(doc, "this_host",
	    problems.count > 0 ? problems_text(&problems) : "fits");
}

static int
write_description(
    struct json_object *doc, bool as_text, struct describe_output *out)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		return -errno;
	if (as_text)
		describe_text(doc, f);
	else
		(void)fprintf(f, "%s\n",
		    json_object_to_json_string_ext(doc,
			JSON_C_TO_STRING_PLAIN |
			    JSON_C_TO_STRING_NOSLASHESCAPE));
	if (fclose(f) != 0)
		return -ENOMEM;
	if (len > DESCRIPTION_MAX)
		return -E2BIG;
	out->fd = memfd_from_bytes("description", text, len);
	return out->fd < 0 ? out->fd : 0;
}

static int
describe_contents(const struct describe_input *in, const struct metadata *m,
    const struct unpacked *u, const char *checksum, struct describe_output *out)
{
	_cleanup_json_ struct json_object *doc = NULL;
	_cleanup_object_ struct object o = { 0 };
	char signature[64];
	int r;

	r = object_open(
	    &o, u->object.data, u->object.len, m->name, &out->problems);
	if (r < 0)
		return r;
	doc = describe_json(m, &o);
	if (doc == NULL)
		return -ENOMEM;
	r = try_plan(&o, m, &out->problems);
	if (r < 0 && out->problems.count == 0)
		return r;
	add_text(doc, "checksum", checksum);
	(void)snprintf(signature, sizeof(signature), "holds: %s", out->key_id);
	add_text(doc, "signature",
	    in->want->has_signature ? signature : "not checked");
	if (out->problems.count > 0)
		add_text(doc, "problems", problems_text(&out->problems));
	add_host(in, m, doc);
	r = write_description(doc, in->want->as_text != 0, out);
	return r < 0 ? r : out->problems.count > 0 ? -EBADMSG : 0;
}

static int
describe(const struct describe_input *in, struct describe_output *out)
{
	_cleanup_unpacked_ struct unpacked u = UNPACKED_INIT;
	_cleanup_metadata_ struct metadata m = { 0 };
	struct msg_verify_description *names = &out->names;
	char checksum[2 * AEGIS_SHA256_SIZE + 1];
	int r;

	if (EVP_Digest(in->data, in->len, names->sha256, NULL, EVP_sha256(),
		NULL) != 1)
		return -ENOMEM;
	r = check_signature(in, names->sha256, out);
	if (r < 0)
		return r;
	r = unpack_artifact(in->data, in->len, &u, &out->problems);
	if (r < 0)
		return r;
	r = metadata_parse(u.metadata, u.metadata_len, &m, &out->problems);
	if (r < 0)
		return r;
	metadata_check_sums(&m, &u, &out->problems);
	str_copy_cut(names->name, sizeof(names->name), m.name);
	str_copy_cut(names->version, sizeof(names->version), m.version);
	if (m.architecture != NULL)
		str_copy_cut(names->architecture, sizeof(names->architecture),
		    m.architecture);
	strnum_format_hex(names->sha256, sizeof(names->sha256), checksum);
	return describe_contents(in, &m, &u, checksum, out);
}

void
describe_artifact(const struct describe_input *in, struct describe_output *out)
{
	int r;

	memset(out, 0, sizeof(*out));
	out->fd = -1;
	r = describe(in, out);
	out->result = r == 0                           ? WORK_OK
	    : r == -ENOKEY || out->problems.count == 0 ? WORK_TRANSIENT
						       : WORK_REFUSED;
	if (r < 0 && out->problems.count == 0)
		problem_add(&out->problems, "verifyd: %s", strerror(-r));
}
