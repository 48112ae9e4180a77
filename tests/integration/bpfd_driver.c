/* SPDX-License-Identifier: ISC */
/*
 * Plays agentd, and verifyd's part of the plan, to a real bpfd under its own
 * account and capabilities.  Obeys standard input, a command a line; each
 * ends with the line "ok" or "error TEXT":
 *
 *	spawn PATH CGROUP_ROOT	start bpfd; prints "ready PID LANDLOCK"
 *	start ID OBJECT KEY=VALUE...	send a load; keys are below
 *	wait ID			for its LOAD_DONE; prints what came
 *	load ...		start, then wait
 *	update ID OF OBJECT KEY=VALUE...	other parameters for OF, which
 *				runs: change ID; prints "change" and the answer
 *	change ID OF OBJECT KEY=VALUE...	likewise, not waiting for it
 *	unload ID		close its links, forget it
 *	forget ID		only the message
 *	sample			prints a "sampled" line for each artifact
 *	adopt ID		tell bpfd of a running artifact
 *	kill			bpfd, by SIGKILL
 *	lost			wait until bpfd closes the channel or dies
 *	ping			and wait for the answer; prints microseconds
 *	unlink ID N		close one link only
 *	handover ID TO N	link N is now artifact TO's
 *	clear ID		close all that is held of it; say nothing
 *	tag PROG OBJECT		load it by libbpf alone, print its tag
 *	count			have the kernel count runs, until the end
 *
 * Keys of a load: attach=PROG,KIND,TARGET[,FLAGS]  global=NAME,HEX
 * elem=MAP,KEYHEX,VALUEHEX  target=PROG,SYMBOL  old=N,ID,M (link M of ID for
 * attachment N)  carry=MAP,ID  and, to lie: name=MAP,NEWNAME
 * size=MAP,VALUESIZE  far=MAP,OFFSET (a global write there)  unsealed=1
 */
#include <bpf/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bare_load.h"
#include "fake_agentd.h"

/* The digest of a program as libbpf alone loads it. */
static const char *
print_tag(const char *program, const char *path)
{
	uint8_t tag[8];
	size_t i;

	if (bare_load(path, program, tag) < 0)
		return "cannot load the object";
	(void)printf("tag ");
	for (i = 0; i < sizeof(tag); i++)
		(void)printf("%02x", tag[i]);
	(void)printf("\n");
	return NULL;
}

static const char *
update(uint64_t id, const char *running, char *rest)
{
	char *save = NULL, *path = strtok_r(rest, " ", &save);

	return fake_update(id, strtoull(running, NULL, 10), path, save);
}

static const char *
do_command(char *line)
{
	static const bool never = false;
	char *save = NULL, *word[3], *rest;
	struct fake_held *from, *to;
	const char *wrong;
	uint64_t id = 0;

	word[0] = strtok_r(line, " ", &save);
	word[1] = strtok_r(NULL, " ", &save);
	word[2] = word[1] == NULL ? NULL : strtok_r(NULL, " ", &save);
	rest = word[2] == NULL ? NULL : save;
	if (word[0] == NULL)
		return "empty";
	if (strcmp(word[0], "spawn") == 0)
		return fake_spawn(word[1], word[2] == NULL ? "" : word[2]);
	if (word[1] != NULL)
		id = strtoull(word[1], NULL, 10);
	if (strcmp(word[0], "clear") == 0) {
		fake_clear(fake_get(id));
		return NULL;
	}
	if (strcmp(word[0], "tag") == 0)
		return print_tag(word[1], word[2]);
	if (fake()->bpfd == NULL)
		return "bpfd is gone";
	if (strcmp(word[0], "start") == 0)
		return fake_start(id, word[2], rest == NULL ? "" : rest);
	if (strcmp(word[0], "wait") == 0)
		return fake_await(&fake_get(id)->done);
	if (strcmp(word[0], "load") == 0) {
		wrong = fake_start(id, word[2], rest == NULL ? "" : rest);
		return wrong != NULL ? wrong : fake_await(&fake_get(id)->done);
	}
	if (strcmp(word[0], "update") == 0 || strcmp(word[0], "change") == 0) {
		wrong = update(id, word[2], rest);
		return wrong != NULL || word[0][0] == 'c'
		    ? wrong
		    : fake_await(&fake()->updated);
	}
	if (strcmp(word[0], "unload") == 0) {
		fake_clear(fake_get(id));
		return fake_forget(id);
	}
	if (strcmp(word[0], "forget") == 0)
		return fake_forget(id);
	if (strcmp(word[0], "sample") == 0)
		return fake_sample();
	if (strcmp(word[0], "adopt") == 0)
		return fake_adopt(id);
	if (strcmp(word[0], "ping") == 0)
		return fake_ping();
	if (strcmp(word[0], "count") == 0)
		return bpf_enable_stats(BPF_STATS_RUN_TIME) < 0 ? "stats"
								: NULL;
	if (strcmp(word[0], "handover") == 0) {
		from = fake_get(id);
		to = fake_get(strtoull(word[2], NULL, 10));
		to->links[atoi(rest)] = fd_steal(&from->links[atoi(rest)]);
		to->ifindexes[atoi(rest)] = from->ifindexes[atoi(rest)];
		return NULL;
	}
	if (strcmp(word[0], "unlink") == 0) {
		fd_close(&fake_get(id)->links[atoi(word[2])]);
		return NULL;
	}
	if (strcmp(word[0], "kill") == 0)
		(void)kill(fake()->pid, SIGKILL);
	(void)fake_await(&never);
	return NULL;
}

int
main(void)
{
	char line[16384];
	const char *wrong;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		wrong = do_command(line);
		if (wrong != NULL)
			(void)printf("error %s\n", wrong);
		else
			(void)printf("ok\n");
		(void)fflush(stdout);
	}
	return 0;
}
