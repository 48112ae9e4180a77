/* SPDX-License-Identifier: ISC */
/*
 * What an attacker's code in the place of a worker would be: it starts like
 * one, closes the same sandbox by the same row, says READY, and then does what
 * it is told to.  test_isolation.py puts it where agentd looks for its workers,
 * and orders beside it: DIRECTORY/orders.ROLE, an order a line.  Without
 * orders it is the honest worker, DIRECTORY/real/PROGRAM.
 *
 *	connect PORT	fastopen PORT	open PATH	create PATH exec PATH
 *	linger SECONDS	make a socket that takes so long to close
 *	ptrace PID	memory PID	readv PID	kill PID
 *	log LINES
 *	send MESSAGE	a message of this type, whoever it belongs to
 *	with KIND MESSAGE	one of its own, with KIND of descriptor: pipe
 *			directory unsealed half (some seals) nonsense (sealed)
 *	answer KIND	verifyd only: an object and a plan of which one is bad,
 *			and then "all is well": noelf name nothing
 *
 *	answer forever	verifyd only: none, but all the processor's time
 *
 * What an order came to is logged: "order ...: ok" or the error's name.  Only
 * orders that send an answer wait for a question.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/loadplan.h"
#include "common/log.h"
#include "common/memfd.h"
#include "common/msg.h"
#include "common/strnum.h"
#include "common/worker.h"

#define ORDERS_MAX 32

struct traitor {
	struct worker worker;
	char dir[1024];
	char text[4096]; /* the orders */
	char *orders[ORDERS_MAX];
	size_t count;
	struct msg_verify_artifact entry; /* that verifyd was asked about */
};

/* Opened before the sandbox closes. */
static int directory = -1;
static int pipes[2];

/* ---- what is sent ---- */

static int
make_fd(const char *kind)
{
	static const char nonsense[64] = "nobody signed this";
	int fd;

	if (strcmp(kind, "pipe") == 0)
		return fcntl(pipes[0], F_DUPFD_CLOEXEC, 0);
	if (strcmp(kind, "directory") == 0)
		return fcntl(directory, F_DUPFD_CLOEXEC, 0);
	if (strcmp(kind, "nonsense") == 0)
		return memfd_from_bytes("traitor", nonsense, sizeof(nonsense));
	fd = memfd_create_buffer("traitor");
	if (fd < 0 || write(fd, nonsense, sizeof(nonsense)) == -1)
		return -errno;
	if (strcmp(kind, "half") == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == -1)
		return -errno;
	return fd;
}

static uint32_t
find_type(const char *name)
{
	uint32_t type;

	for (type = 1; type < MSG_TYPE_MAX; type++)
		if (strcmp(msg_name(type), name) == 0)
			break;
	return type;
}

/* As the table wants it, with zeros as its payload. */
static int
send_type(struct traitor *t, const char *name, uint64_t id, int fd)
{
	static const uint8_t zeros[IMSG_MAX_PAYLOAD];
	uint32_t type = find_type(name);

	if (type == MSG_TYPE_MAX)
		return -ENOENT;
	if (fd < 0 && msg_row(type)->fd == MSG_FD_ONE)
		fd = memfd_from_bytes("traitor", "x", 1);
	return imsg_send(
	    t->worker.agentd, type, id, zeros, msg_row(type)->size, fd);
}

static int
send_with(struct traitor *t, char *arg, uint64_t id)
{
	char *name = strchr(arg, ' ');
	int fd;

	if (name == NULL)
		return -EINVAL;
	*name = '\0';
	fd = make_fd(arg);
	*name = ' ';
	return fd < 0 ? fd : send_type(t, name + 1, id, fd);
}

static int
send_plan(struct traitor *t, uint64_t id, const char *name)
{
	_cleanup_(loadplan_builder_freep) struct loadplan_builder *b =
	    loadplan_builder_new();
	const struct loadplan_prog prog = { .name = "it_count", .autoload = 1 };
	const struct msg_verify_plan msg = { 0 };
	struct loadplan_header *h;
	int fd;

	if (b == NULL)
		return -ENOMEM;
	h = loadplan_builder_header(b);
	str_copy_cut(h->object_name, sizeof(h->object_name), "traitor");
	str_copy_cut(h->name, sizeof(h->name), name);
	str_copy_cut(
	    h->artifact_version, sizeof(h->artifact_version), t->entry.version);
	fd = loadplan_add_prog(b, &prog);
	if (fd == 0)
		fd = loadplan_finish(b);
	if (fd < 0)
		return fd;
	return msg_send_VERIFY_PLAN(t->worker.agentd, id, &msg, fd);
}

static int
send_answer(struct traitor *t, const char *kind, uint64_t id)
{
	const struct msg_verify_done done = { .result = WORK_OK };
	int r = 0;

	while (strcmp(kind, "forever") == 0)
		continue;
	if (strcmp(kind, "nothing") != 0) {
		r = send_with(t, (char[]){ "nonsense VERIFY_OBJECT" }, id);
		if (r == 0)
			r = send_with(
			    t, (char[]){ "nonsense VERIFY_EFFECTIVE" }, id);
		if (r == 0)
			r = send_plan(t, id,
			    strcmp(kind, "name") == 0 ? "another"
						      : t->entry.name);
	}
	return r == 0 ? msg_send_VERIFY_DONE(t->worker.agentd, id, &done) : r;
}

/* ---- what is tried ---- */

static long
number(const char *arg)
{
	int64_t n;

	return strnum_parse_i64(arg, 0, INT32_MAX, &n) < 0 ? -1 : (long)n;
}

static long
try_connect(const char *arg)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)number(arg)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd == -1
	    ? -1
	    : connect(fd, (const struct sockaddr *)&sin, sizeof(sin));
}

static long
try_fastopen(const char *arg)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)number(arg)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd == -1 ? -1
			: sendto(fd, "x", 1, MSG_FASTOPEN,
			      (const struct sockaddr *)&sin, sizeof(sin));
}

/* That the call succeeds says nothing: what is in force is asked for. */
static long
try_linger(const char *arg)
{
	struct linger linger = { .l_onoff = 1, .l_linger = (int)number(arg) };
	socklen_t len = sizeof(linger);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, len) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) == -1)
		return -1;
	errno = EPERM;
	return linger.l_onoff ? 0 : -1;
}

static long
try_open(const char *arg)
{
	return open(arg, O_RDONLY | O_CLOEXEC);
}

static long
try_create(const char *arg)
{
	return open(arg, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long
try_exec(const char *arg)
{
	char path[1024], *argv[] = { path, NULL };

	str_copy_cut(path, sizeof(path), arg);
	return execve(path, argv, NULL);
}

static long
try_ptrace(const char *arg)
{
	return ptrace(PTRACE_ATTACH, (pid_t)number(arg), NULL, NULL);
}

static long
try_memory(const char *arg)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%ld/mem", number(arg));
	return open(path, O_RDONLY | O_CLOEXEC);
}

static long
try_readv(const char *arg)
{
	char buf[16];
	struct iovec here = { buf, sizeof(buf) };
	struct iovec there = { (void *)(uintptr_t)0x400000, sizeof(buf) };

	return process_vm_readv((pid_t)number(arg), &here, 1, &there, 1, 0);
}

static long
try_log(const char *arg)
{
	long i, n = number(arg);

	for (i = 1; i <= n; i++)
		log_info("line %ld of %ld", i, n);
	return 0;
}

static long
try_kill(const char *arg)
{
	return kill((pid_t)number(arg), SIGTERM);
}

static const struct {
	const char *word;
	long (*run)(const char *arg);
} tries[] = {
	{ "connect", try_connect },
	{ "fastopen", try_fastopen },
	{ "linger", try_linger },
	{ "open", try_open },
	{ "create", try_create },
	{ "exec", try_exec },
	{ "ptrace", try_ptrace },
	{ "memory", try_memory },
	{ "readv", try_readv },
	{ "kill", try_kill },
	{ "log", try_log },
};

/* Does the order wait for the artifact that agentd asks about? */
static bool
is_answer(const char *order)
{
	return strncmp(order, "answer ", 7) == 0 ||
	    (strncmp(order, "with ", 5) == 0 &&
		(strstr(order, " VERIFY_") != NULL ||
		    strstr(order, " FETCH_DONE") != NULL));
}

static void
obey(struct traitor *t, char *order, uint64_t id)
{
	char *arg = strchr(order, ' ');
	size_t i;
	int r = -ENOSYS;

	if (arg == NULL)
		return;
	log_info("order %s, pid %d", order, (int)getpid());
	*arg = '\0';
	for (i = 0; i < nitems(tries); i++)
		if (strcmp(order, tries[i].word) == 0)
			r = tries[i].run(arg + 1) == -1 ? -errno : 0;
	if (strcmp(order, "send") == 0)
		r = send_type(t, arg + 1, 0, -1);
	else if (strcmp(order, "with") == 0)
		r = send_with(t, arg + 1, id);
	else if (strcmp(order, "answer") == 0)
		r = send_answer(t, arg + 1, id);
	*arg = ' ';
	log_info("order %s: %s", order, r < 0 ? strerrorname_np(-r) : "ok");
}

static void
obey_all(struct traitor *t, bool answers, uint64_t id)
{
	size_t i;

	for (i = 0; i < t->count; i++)
		if (is_answer(t->orders[i]) == answers)
			obey(t, t->orders[i], id);
}

/* ---- what it hears ---- */

static int
grant_port(struct worker *w, const char *url)
{
	const char *colon = strrchr(url, ':');
	long port = colon != NULL ? number(colon + 1) : -1;

	/* None: an http URL without a port, or a directory. */
	return port > 0 ? sandbox_grant_connect(&w->grants, (uint16_t)port) : 0;
}

static int
handle(struct imsg *m, void *ctx)
{
	struct traitor *t = ctx;
	struct worker *w = &t->worker;

	switch (m->type) {
	case MSG_FETCH_CONFIG:
		return grant_port(w, msg_get_FETCH_CONFIG(m)->url);
	case MSG_VAULT_CONFIG:
		return grant_port(w, msg_get_VAULT_CONFIG(m)->url);
	case MSG_TELEM_CONFIG:
		return grant_port(w, msg_get_TELEM_CONFIG(m)->url);
	case MSG_FETCH_CACHE:
	case MSG_TELEM_SPOOL:
		fd_close(&directory);
		directory = imsg_take_fd(m);
		return sandbox_grant_dir(&w->grants, directory, true);
	case MSG_VERIFY_ARTIFACT:
		t->entry = *msg_get_VERIFY_ARTIFACT(m);
		obey_all(t, true, m->id);
		return 0;
	case MSG_FETCH_ARTIFACT:
		obey_all(t, true, m->id);
		return 0;
	default:
		return 0;
	}
}

static int
run(struct worker *w)
{
	obey_all(w->ctx, false, 0);
	return 0;
}

/* ---- start ---- */

/* The orders, or false: there are none. */
static bool
read_orders(struct traitor *t, const char *role)
{
	char path[sizeof(t->dir) + 64], *line, *rest = t->text;
	_cleanup_fd_ int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/orders.%s", t->dir, role);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return false;
	n = read(fd, t->text, sizeof(t->text) - 1);
	t->text[n > 0 ? n : 0] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL && t->count < ORDERS_MAX)
		if (*line != '\0')
			t->orders[t->count++] = line;
	return true;
}

static enum proc_role
find_role(const char *file, const char *arg)
{
	if (strcmp(file, "fetchd") == 0)
		return arg != NULL && strcmp(arg, "vault") == 0 ? PROC_VAULT
								: PROC_REGISTRY;
	if (strcmp(file, "verifyd") == 0)
		return PROC_VERIFY;
	if (strcmp(file, "bpfd") == 0)
		return PROC_BPF;
	return strcmp(file, "apid") == 0 ? PROC_API : PROC_TELEM;
}

int
main(int argc, char **argv)
{
	static imsg_handler handlers[MSG_TYPE_MAX];
	static struct traitor t;
	const struct worker_ops ops = { .handlers = handlers, .run = run };
	enum proc_role role = find_role(argv[0], argc > 1 ? argv[1] : NULL);
	char real[sizeof(t.dir) + 64];
	ssize_t n;
	size_t i;

	n = readlink("/proc/self/exe", t.dir, sizeof(t.dir) - 1);
	if (n == -1 || strrchr(t.dir, '/') == NULL)
		return 2;
	*strrchr(t.dir, '/') = '\0';
	if (!read_orders(&t, proc_name(role))) {
		(void)snprintf(
		    real, sizeof(real), "%s/real/%s", t.dir, argv[0]);
		(void)execv(real, argv);
		return 3;
	}
	directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory == -1 || pipe2(pipes, O_CLOEXEC) == -1)
		return 4;
	for (i = 1; i < nitems(handlers); i++)
		handlers[i] = handle;
	return worker_main(&t.worker, role, &ops, &t);
}
