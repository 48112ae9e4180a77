/* SPDX-License-Identifier: ISC */
/*
 * verify and inspect: all that they print was written by verifyd.
 */
#include "aegisctl/offline.h"

#include <err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aegisctl/files.h"
#include "aegisctl/judge.h"
#include "aegisctl/table.h"
#include "common/limits.h"
#include "common/memfd.h"

/* Whatever verifyd has become, its text does not speak to the terminal. */
static int
print_description(int fd)
{
	_cleanup_memfd_map_ struct memfd_map map = { NULL, 0 };
	int r = memfd_map(fd, DESCRIPTION_MAX, &map);

	if (r < 0) {
		warnx("verifyd's description: %s", strerror(-r));
		return r;
	}
	table_text(stdout, "", map.data, map.len);
	return 0;
}

/* {"ok":false,"error":"..."}, or the same in words on standard error. */
static int
refuse(const struct offline_options *o, const char *file, const char *error)
{
	const char *p;

	if (!o->json) {
		warnx("%s: %s", file, error);
		return 1;
	}
	(void)fputs("{\"ok\":false,\"error\":\"", stdout);
	for (p = error; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			(void)putchar('\\');
		(void)putchar(*p);
	}
	(void)fputs("\"}\n", stdout);
	return 1;
}

static int
describe(const struct offline_options *o, const char *file, int keys,
    const char *signature)
{
	_cleanup_fd_ int artifact = files_seal(file, AEGIS_ARTIFACT_MAX);
	struct judge j;
	int status = 1;

	if (artifact < 0)
		return 1;
	if (judge_open(&j, keys) == 0) {
		j.signature = signature;
		j.as_text = !o->json;
		if (judge_describe(&j, artifact) < 0)
			status = 1;
		else if (j.description < 0)
			status = refuse(o, file, j.error);
		else
			status = print_description(j.description) < 0 ||
				j.result != WORK_OK
			    ? 1
			    : 0;
		if (j.description >= 0 && j.result != WORK_OK && !o->json)
			warnx(
			    "%s: the agent would refuse it: %s", file, j.error);
	}
	judge_close(&j);
	return status;
}

int
offline_verify(const struct offline_options *o, const char *file)
{
	_cleanup_fd_ int keys = -1;
	char signature[AEGIS_SIGNATURE_SIZE];
	int r;

	if (access(file, R_OK) == -1) {
		warn("%s", file);
		return 1;
	}
	keys = files_keys(o->key);
	if (keys < 0)
		return 1;
	r = files_signature(file, o->signature, signature, sizeof(signature));
	if (r == -ENOENT)
		warnx("%s: no signature: there is no %s.sig, give -s", file,
		    file);
	return r < 0 ? 1 : describe(o, file, keys, signature);
}

int
offline_inspect(const struct offline_options *o, const char *file)
{
	if (o->key != NULL || o->signature != NULL)
		return offline_verify(o, file);
	if (access(file, R_OK) == -1) {
		warn("%s", file);
		return 1;
	}
	if (!o->json)
		warnx("%s: the signature is not checked (-k KEY)", file);
	return describe(o, file, -1, NULL);
}
