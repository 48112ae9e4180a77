/* SPDX-License-Identifier: ISC */
/*
 * aegisctl: the operator's hand, over agentd's control socket.
 */
#include <err.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

#include "aegis_config.h"
#include "aegisctl/client.h"
#include "aegisctl/events.h"
#include "aegisctl/offline.h"
#include "aegisctl/show.h"
#include "common/log.h"
#include "common/strnum.h"

#define DEFAULT_SOCKET "/run/aegisflux/control.sock"

/* agentd keeps no more than that. */
#define EVENTS_LAST 1000

/* Exit codes; aegisctl(8) has them. */
enum {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1,   /* agentd said no, or could not */
	EXIT_NO_SUCH = 2,   /* no artifact of that id or name */
	EXIT_UNHEALTHY = 3, /* status: the agent is unhealthy */
	EXIT_USAGE = 64,
	EXIT_NO_AGENT = 69,   /* nobody answers on the socket */
	EXIT_PROTOCOL = 76,   /* an agentd of another build */
	EXIT_PERMISSION = 77, /* not root, not in the group */
};

struct options {
	const char *socket;
	bool json;
	bool verbose;
	const char *reason;
	const char *file;
	bool follow;
	uint32_t last;
	struct offline_options offline;
};

struct command {
	const char *name;
	const char *arguments; /* for the usage */
	int min, max;          /* how many */
	const char *flags;     /* its own, as getopt(3) has them */
	int (*run)(const struct options *o, char **argv);
	const char *help;
};

static int
exit_for(int error)
{
	switch (error) {
	case 0:
		return EXIT_DONE;
	case -ENOENT:
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -ETIMEDOUT:
		return EXIT_NO_AGENT;
	case -EACCES:
	case -EPERM:
		return EXIT_PERMISSION;
	case -EPROTO:
		return EXIT_PROTOCOL;
	default:
		return EXIT_REFUSED;
	}
}

/* What agentd answered to a request that changes something. */
static int
print_reply(const struct options *o, const struct client_reply *reply)
{
	struct json_object *json;
	char text[sizeof(reply->text)];

	str_copy_cut(text, sizeof(text), reply->text);
	str_scrub(text, sizeof(text));
	if (o->json) {
		json = json_object_new_object();
		(void)json_object_object_add(
		    json, "ok", json_object_new_boolean(reply->result == 0));
		(void)json_object_object_add(
		    json, "text", json_object_new_string(text));
		(void)printf("%s\n",
		    json_object_to_json_string_ext(
			json, JSON_C_TO_STRING_PLAIN));
		(void)json_object_put(json);
	} else if (reply->result == 0) {
		(void)printf("%s\n", text[0] != '\0' ? text : "done");
	} else {
		warnx("%s", text[0] != '\0' ? text : strerror(-reply->result));
	}
	switch (reply->result) {
	case 0:
		return EXIT_DONE;
	case -ENOENT:
		return EXIT_NO_SUCH;
	case -EPERM:
	case -EACCES:
		return EXIT_PERMISSION;
	default:
		return EXIT_REFUSED;
	}
}

/* A field of the request; agentd hangs up on what is no text. */
static int
fill(char *field, size_t size, const char *what, const char *value)
{
	if (value == NULL)
		return 0;
	if (str_copy(field, size, value) < 0) {
		warnx("%s: longer than the %zu bytes there are for it", what,
		    size - 1);
		return EXIT_USAGE;
	}
	if (!str_is_text(field, size)) {
		warnx("%s: control characters, or no UTF-8", what);
		return EXIT_USAGE;
	}
	return 0;
}

static int
change(const struct options *o, enum ctl_command command, const char *id,
    const char *version)
{
	struct msg_ctl_request request = { .command = command };
	struct client_reply reply;
	int r;

	r = fill(
	    request.artifact_id, sizeof(request.artifact_id), "argument", id);
	if (r == 0 && id != NULL && !MSG_ID_OK(request.artifact_id)) {
		warnx("%s: not an artifact's id or name, which consist of "
		      "letters, digits and ._:@+-",
		    id);
		r = EXIT_USAGE;
	}
	if (r == 0)
		r = fill(request.version, sizeof(request.version), "version",
		    version);
	if (r == 0)
		r = fill(request.reason, sizeof(request.reason), "reason",
		    o->reason);
	if (r != 0)
		return r;
	r = client_ask(o->socket, &request, &reply);
	if (r < 0) {
		warnx("%s", reply.text);
		r = exit_for(r);
	} else {
		r = print_reply(o, &reply);
	}
	client_reply_clear(&reply);
	return r;
}

/* Get a snapshot and show it with PRINT, or one artifact of it. */
static int
look(const struct options *o, void (*print)(const struct show *s),
    const char *id)
{
	const struct msg_ctl_request request = { .command = CTL_SNAPSHOT };
	struct show s = {
		.out = stdout, .json = o->json, .verbose = o->verbose
	};
	struct client_reply reply;
	int r;

	r = client_ask(o->socket, &request, &reply);
	if (r < 0) {
		warnx("%s", reply.text);
		client_reply_clear(&reply);
		return exit_for(r);
	}
	if (reply.result < 0)
		return print_reply(o, &reply);
	if (reply.snapshot.header == NULL) {
		warnx("agentd answered without a snapshot");
		return EXIT_PROTOCOL;
	}
	s.snapshot = &reply.snapshot;
	s.now = render_clock();
	r = EXIT_DONE;
	if (id == NULL) {
		print(&s);
		if (print == show_status &&
		    s.snapshot->header->health == HEALTH_UNHEALTHY)
			r = EXIT_UNHEALTHY;
	} else if (show_artifact(&s, id) < 0) {
		warnx(
		    "%s: no artifact has this id, nor one alone this name", id);
		r = EXIT_NO_SUCH;
	}
	client_reply_clear(&reply);
	return r;
}

static int
run_status(const struct options *o, char **argv)
{
	return look(o, show_status, NULL);
}

static int
run_programs(const struct options *o, char **argv)
{
	return look(o, show_programs, NULL);
}

static int
run_show(const struct options *o, char **argv)
{
	return look(o, NULL, argv[0]);
}

static int
run_rollbacks(const struct options *o, char **argv)
{
	return look(o, show_rollbacks, NULL);
}

static int
run_workers(const struct options *o, char **argv)
{
	return look(o, show_workers, NULL);
}

static int
run_rollback(const struct options *o, char **argv)
{
	return change(o, CTL_ROLLBACK, argv[0], NULL);
}

static int
run_unload(const struct options *o, char **argv)
{
	return change(o, CTL_UNLOAD, argv[0], NULL);
}

static int
run_pardon(const struct options *o, char **argv)
{
	return change(o, CTL_PARDON, argv[0], NULL);
}

static int
run_allow_downgrade(const struct options *o, char **argv)
{
	return change(o, CTL_ALLOW_DOWNGRADE, argv[0], argv[1]);
}

static int
run_poll(const struct options *o, char **argv)
{
	return change(o, CTL_POLL, NULL, NULL);
}

static int
run_log(const struct options *o, char **argv)
{
	enum log_level level;

	if (log_level_parse(argv[0], &level) < 0) {
		warnx("%s: a level is debug, info, warn or error", argv[0]);
		return EXIT_USAGE;
	}
	return change(o, CTL_LOG_LEVEL, argv[0], NULL);
}

static int
run_reload(const struct options *o, char **argv)
{
	return change(o, CTL_RELOAD, NULL, NULL);
}

static int
run_events(const struct options *o, char **argv)
{
	const struct events_options want = {
		.socket = o->socket,
		.json = o->json,
		.follow = o->follow,
		.last = o->last,
	};
	char text[1024];
	int r;

	r = events_run(&want, text, sizeof(text));
	if (r < 0)
		warnx("%s", text[0] != '\0' ? text : strerror(-r));
	return exit_for(r);
}

/* agentd has the only judge of a configuration: ask it. */
static int
run_check_config(const struct options *o, char **argv)
{
	static const char agentd[] = AEGIS_SBINDIR "/agentd";

	if (o->file != NULL)
		(void)execl(
		    agentd, "agentd", "-n", "-f", o->file, (char *)NULL);
	else
		(void)execl(agentd, "agentd", "-n", (char *)NULL);
	warn("%s", agentd);
	return EXIT_NO_AGENT;
}

static int
run_verify(const struct options *o, char **argv)
{
	return offline_verify(&o->offline, argv[0]);
}

static int
run_inspect(const struct options *o, char **argv)
{
	return offline_inspect(&o->offline, argv[0]);
}

static int
run_pack(const struct options *o, char **argv)
{
	return offline_pack(&o->offline, argv[0]);
}

static int
run_dry_run(const struct options *o, char **argv)
{
	return offline_dry_run(&o->offline, argv[0]);
}

static const struct command commands[] = {
	{ "status", "", 0, 0, "", run_status, "health, and the programs" },
	{ "programs", "[-v]", 0, 0, "v", run_programs,
	    "the programs; -v: attach points and kernel ids" },
	{ "show", "ID", 1, 1, "", run_show,
	    "one program: parameters, counters, verifier's log" },
	{ "rollbacks", "", 0, 0, "", run_rollbacks, "what was rolled back" },
	{ "workers", "", 0, 0, "", run_workers, "the agent's processes" },
	{ "events", "[-f] [-n N]", 0, 0, "fn:", run_events,
	    "the last events; -f: and all that come" },
	{ "rollback", "ID [-r reason]", 1, 1, "r:", run_rollback,
	    "unload it, restore what it replaced" },
	{ "unload", "ID", 1, 1, "", run_unload,
	    "unload it until its checksum changes" },
	{ "pardon", "ID", 1, 1, "", run_pardon,
	    "let it be loaded again after a rollback, failure or TTL" },
	{ "allow-downgrade", "NAME VERSION", 2, 2, "", run_allow_downgrade,
	    "accept this older version of a program" },
	{ "poll", "", 0, 0, "", run_poll, "ask the registry now" },
	{ "log", "LEVEL", 1, 1, "", run_log, "debug, info, warn or error" },
	{ "reload", "", 0, 0, "", run_reload, "read the configuration again" },
	{ "check-config", "[-f file]", 0, 0, "f:", run_check_config,
	    "check a configuration, as agentd -n does" },
	{ "verify", "FILE [-k KEY] [-s SIG]", 1, 1, "k:", run_verify,
	    "does the signature hold, is it sound" },
	{ "inspect", "FILE [-k KEY]", 1, 1, "k:", run_inspect,
	    "what is in an artifact, signed or not" },
	{ "pack", "DIR -k KEY -o FILE", 1, 1, "k:o:p:", run_pack,
	    "metadata.json and program.o into FILE, signed" },
	{ "dry-run", "FILE [-p PARAMS]", 1, 1, "k:p:", run_dry_run,
	    "verify and load it, attach nothing" },
};

static void
print_usage(FILE *out)
{
	size_t i;

	(void)fprintf(out, "usage: aegisctl [-hj] [-s socket] command ...\n");
	for (i = 0; i < nitems(commands); i++)
		(void)fprintf(out, "  %-16s %-22s %s\n", commands[i].name,
		    commands[i].arguments, commands[i].help);
}

static int
usage(void)
{
	print_usage(stderr);
	return EXIT_USAGE;
}

static bool
take_count(struct options *o, const char *text)
{
	uint64_t n;

	if (strnum_parse_u64(text, 0, UINT32_MAX, &n) < 0) {
		warnx("-n %s: not a number of events", text);
		return false;
	}
	o->last = (uint32_t)n;
	return true;
}

/* false: none that getopt(3) knows, or of no use. */
static bool
take_flag(struct options *o, int c)
{
	switch (c) {
	case 'j':
		o->json = o->offline.json = true;
		return true;
	case 's':
		o->socket = o->offline.signature = optarg;
		return true;
	case 'k':
		o->offline.key = optarg;
		return true;
	case 'p':
		o->offline.parameters = optarg;
		return true;
	case 'o':
		o->offline.output = optarg;
		return true;
	case 'v':
		o->verbose = true;
		return true;
	case 'r':
		o->reason = optarg;
		return true;
	case 'f':
		o->file = optarg;
		o->follow = optarg == NULL;
		return true;
	case 'n':
		return take_count(o, optarg);
	default:
		return false;
	}
}

static const struct command *
find_command(const char *name)
{
	size_t i;

	for (i = 0; i < nitems(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

int
main(int argc, char **argv)
{
	struct options o = { .socket = DEFAULT_SOCKET, .last = EVENTS_LAST };
	char flags[16];
	const struct command *command;
	int c, r;

	while ((c = getopt(argc, argv, "+hjs:")) != -1) {
		if (c == 'h') {
			print_usage(stdout);
			return EXIT_DONE;
		}
		if (!take_flag(&o, c))
			return usage();
	}
	if (optind == argc)
		return usage();
	command = find_command(argv[optind]);
	if (command == NULL) {
		warnx("%s: no such command; aegisctl -h lists them",
		    argv[optind]);
		return EXIT_USAGE;
	}
	/* Before the command it was the socket. */
	o.offline.signature = NULL;
	argc -= optind;
	argv += optind;
	optind = 0; /* getopt moves what is no flag to the end */
	(void)snprintf(flags, sizeof(flags), "js:%s", command->flags);
	while ((c = getopt(argc, argv, flags)) != -1)
		if (!take_flag(&o, c))
			return usage();
	argc -= optind;
	argv += optind;
	if (argc > 0 && command->arguments[0] == '\0') {
		warnx("%s takes no argument", command->name);
		return EXIT_USAGE;
	}
	if (argc < command->min || argc > command->max) {
		warnx("%s takes: %s %s", command->name, command->name,
		    command->arguments);
		return EXIT_USAGE;
	}
	r = command->run(&o, argv);
	if (fflush(stdout) != 0)
		err(EXIT_REFUSED, "standard output");
	return r;
}
