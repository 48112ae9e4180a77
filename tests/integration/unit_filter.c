/* SPDX-License-Identifier: ISC */
/*
 * What systemd's seccomp directives do to a service, for a test without
 * systemd:
 *
 *	unit_filter [-e] [-f FAMILY]... [-d CALL]... -- PROGRAM [ARGUMENT]...
 *
 * -d: SystemCallFilter=~CALL with SystemCallErrorNumber=EPERM, -f: one of
 * RestrictAddressFamilies= (a number), -e: MemoryDenyWriteExecute=yes.  Calls
 * that this architecture does not have are passed over, as systemd does.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FAMILIES 46

static void __attribute__((noreturn)) die(const char *what)
{
	(void)fprintf(stderr, "unit_filter: %s\n", what);
	exit(99);
}

static void
deny_call(scmp_filter_ctx ctx, const char *name)
{
	int number = seccomp_syscall_resolve_name(name);

	if (number >= 0 &&
	    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), number, 0) < 0)
		die(name);
}

static void
deny_families(scmp_filter_ctx ctx, const bool *wanted)
{
	int family;

	for (family = 0; family < FAMILIES; family++)
		if (!wanted[family] &&
		    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT),
			SCMP_SYS(socket), 1,
			SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)family)) < 0)
			die("socket");
}

static void
deny_code(scmp_filter_ctx ctx)
{
	const uint32_t both = PROT_WRITE | PROT_EXEC;

	if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mmap), 1,
		SCMP_A2_32(SCMP_CMP_MASKED_EQ, both, both)) < 0 ||
	    seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mprotect), 1,
		SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC)) < 0)
		die("mmap");
}

int
main(int argc, char **argv)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	bool wanted[FAMILIES] = { false };
	bool restricted = false;
	int opt, family;

	if (ctx == NULL)
		die("no memory");
	while ((opt = getopt(argc, argv, "+ed:f:")) != -1) {
		switch (opt) {
		case 'e':
			deny_code(ctx);
			break;
		case 'd':
			deny_call(ctx, optarg);
			break;
		case 'f':
			family = atoi(optarg);
			if (family <= 0 || family >= FAMILIES)
				die(optarg);
			wanted[family] = true;
			restricted = true;
			break;
		default:
			die("usage");
		}
	}
	if (restricted)
		deny_families(ctx, wanted);
	if (seccomp_load(ctx) < 0 || optind >= argc)
		die("cannot load the filter");
	seccomp_release(ctx);
	(void)execv(argv[optind], argv + optind);
	die(strerror(errno));
}
