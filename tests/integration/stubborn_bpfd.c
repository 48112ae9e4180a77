/* SPDX-License-Identifier: ISC */
/*
 * In the place of bpfd: the real one, beside it in "real", under stubborn.c's
 * kernel, which the file "switches" beside it switches.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	char dir[1024], path[sizeof(dir) + 32];
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - 1);

	if (n == -1)
		return 2;
	dir[n] = '\0';
	*strrchr(dir, '/') = '\0';
	(void)snprintf(path, sizeof(path), "%s/libstubborn.so", dir);
	(void)setenv("LD_PRELOAD", path, 1);
	(void)snprintf(path, sizeof(path), "%s/switches", dir);
	(void)setenv("STUBBORN_SWITCH", path, 1);
	(void)snprintf(path, sizeof(path), "%s/real/bpfd", dir);
	(void)execv(path, argv);
	return 3;
}
