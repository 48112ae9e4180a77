/* SPDX-License-Identifier: ISC */
#include "verifyd/platform.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

bool
platform_is_architecture(const char *name, const char *host)
{
	static const char *const aliases[][2] = {
		{ "amd64", "x86_64" },
		{ "arm64", "aarch64" },
		{ "riscv", "riscv64" },
		{ "ppc64el", "ppc64le" },
	};
	size_t i;

	if (strcmp(name, host) == 0 || strcmp(name, "any") == 0)
		return true;
	for (i = 0; i < nitems(aliases); i++)
		if (strcmp(name, aliases[i][0]) == 0)
			return strcmp(host, aliases[i][1]) == 0;
	return false;
}

/* Up to three numbers at the start of S.  Where they end, NULL if none. */
static const char *
parse_version(const char *s, unsigned int v[3])
{
	unsigned int i, digits;

	memset(v, 0, 3 * sizeof(*v));
	for (i = 0; i < 3; i++) {
		for (digits = 0; *s >= '0' && *s <= '9'; s++, digits++)
			v[i] = v[i] * 10 + (unsigned int)(*s - '0');
		if (digits == 0 || digits > 6)
			return NULL;
		if (i == 2 || *s != '.' || s[1] < '0' || s[1] > '9')
			return s;
		s++;
	}
	return s;
}

int
platform_kernel_is_at_least(const char *release, const char *minimum)
{
	unsigned int have[3], want[3], i;
	const char *end;

	if (strncmp(minimum, ">=", 2) == 0)
		minimum += 2 + strspn(minimum + 2, " ");
	end = parse_version(minimum, want);
	/* "5.15.0-91-generic" is what people copy from uname. */
	if (end == NULL || (*end != '\0' && *end != '-' && *end != '+'))
		return -EINVAL;
	if (parse_version(release, have) == NULL)
		return 0;
	for (i = 0; i < 3; i++)
		if (have[i] != want[i])
			return have[i] > want[i];
	return 1;
}
