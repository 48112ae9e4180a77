/* SPDX-License-Identifier: ISC */
#include "fetchd/resolver.h"

#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/log.h"

/* "hosts: files mdns4_minimal [NOTFOUND=return] dns": MODULE by MODULE. */
static void
load_modules(char *services)
{
	char name[96], *word, *save;

	for (word = strtok_r(services, " \t\n", &save); word != NULL;
	     word = strtok_r(NULL, " \t\n", &save)) {
		if (*word == '#')
			break;
		if (*word == '[' || strchr(word, '/') != NULL)
			continue;
		/* "files" and "dns" are inside libc from glibc 2.34 on. */
		(void)snprintf(name, sizeof(name), "libnss_%.64s.so.2", word);
		/* Never closed: glibc finds it loaded when it asks. */
		if (dlopen(name, RTLD_NOW) == NULL)
			log_debug("%s for host names is not there", name);
	}
}

void
resolver_prepare(void)
{
	_cleanup_file_ FILE *f = fopen("/etc/nsswitch.conf", "re");
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	char line[512];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "hosts:", 6) == 0)
			load_modules(line + 6);
	/* From /etc/hosts: loads glibc's own configuration, asks nobody. */
	if (getaddrinfo("localhost", NULL, &hints, &list) == 0)
		freeaddrinfo(list);
}
