/* SPDX-License-Identifier: ISC */
#include "agentd/config.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "agentd/config_table.h"
#include "common/envfile.h"
#include "common/pubkey.h"

#define FILE_MAX (1u << 20)

/* Where a value came from: the later wins. */
struct source {
	const struct config_row *row;
	char *value; /* owned; NULL: not set */
	unsigned int line;
	bool from_file;
};

struct loader {
	struct config_problems *problems;
	struct source sources[CONFIG_VARS_MAX];
	const char *path;
	bool no_memory;
};

/* ---- problems ---- */

void
config_problems_free(struct config_problems *p)
{
	free(p->list);
	memset(p, 0, sizeof(*p));
}

void
config_problem_format(
    const struct config_problem *problem, char *out, size_t size)
{
	if (problem->value[0] != '\0')
		(void)snprintf(out, size, "%s: \"%s\": %s", problem->variable,
		    problem->value, problem->text);
	else
		(void)snprintf(
		    out, size, "%s: %s", problem->variable, problem->text);
}

static struct config_problem *
add_problem(struct config_problems *p, bool warning, const char *variable)
{
	struct config_problem *list;

	list = reallocarray(p->list, p->count + 1, sizeof(*list));
	if (list == NULL) {
		/* Not to be able to say so must still refuse. */
		p->errors++;
		return NULL;
	}
	p->list = list;
	list += p->count++;
	memset(list, 0, sizeof(*list));
	list->warning = warning;
	str_copy_cut(list->variable, sizeof(list->variable), variable);
	str_scrub(list->variable, sizeof(list->variable));
	if (!warning)
		p->errors++;
	return list;
}

static void problem(struct config_problems *p, bool warning,
    const char *variable, const char *fmt, ...) _printf_(4, 5);

static void
problem(struct config_problems *p, bool warning, const char *variable,
    const char *fmt, ...)
{
	struct config_problem *new = add_problem(p, warning, variable);
	va_list ap;

	if (new == NULL)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(new->text, sizeof(new->text), fmt, ap);
	va_end(ap);
	str_scrub(new->text, sizeof(new->text));
}

#define add_error(p, variable, ...)   problem(p, false, variable, __VA_ARGS__)
#define add_warning(p, variable, ...) problem(p, true, variable, __VA_ARGS__)

/* ---- where values come from ---- */

static void
unknown_name(struct loader *l, const char *name)
{
	const char *nearest = config_name_nearest(name);

	if (nearest != NULL)
		add_warning(l->problems, name,
		    "no such variable, ignored; did you mean %s?", nearest);
	else
		add_warning(l->problems, name,
		    "no such variable, ignored; agentd.env(5) lists all");
}

static void
set_value(struct loader *l, const struct config_row *row, const char *value,
    bool from_file, unsigned int line)
{
	struct source *s = &l->sources[row - config_row(0)];

	s->row = row;
	if (s->value != NULL) {
		explicit_bzero(s->value, strlen(s->value));
		free(s->value);
	}
	s->value = strdup(value);
	s->from_file = from_file;
	s->line = line;
	if (s->value == NULL)
		l->no_memory = true;
}

static int
file_line(const char *name, const char *value, unsigned int line, void *ctx)
{
	const struct config_row *row;
	struct loader *l = ctx;
	char where[64];

	if (name == NULL) {
		/* The line's text may be half of a secret: only its place. */
		(void)snprintf(where, sizeof(where), "line %u", line);
		add_warning(l->problems, where,
		    "of %s is no NAME=value assignment, ignored", l->path);
		return 0;
	}
	if (strncmp(name, "AGENT_", 6) != 0)
		return 0;
	row = config_row_find(name);
	if (row == NULL) {
		unknown_name(l, name);
		return 0;
	}
	if (l->sources[row - config_row(0)].value != NULL)
		add_warning(l->problems, name, "set twice in %s: line %u holds",
		    l->path, line);
	set_value(l, row, value, true, line);
	return 0;
}

static int
read_file(int fd, char *buf, size_t size, size_t *len)
{
	ssize_t n;

	*len = 0;
	while (*len < size) {
		n = read(fd, buf + *len, size - *len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -errno;
		if (n == 0)
			return 0;
		*len += (size_t)n;
	}
	return -EFBIG;
}

static void
parse_file(struct loader *l, int fd)
{
	_cleanup_free_ char *text = malloc(FILE_MAX + 1);
	const char *what = "";
	unsigned int line = 0;
	size_t len = 0;
	int r;

	if (text == NULL) {
		l->no_memory = true;
		return;
	}
	r = read_file(fd, text, FILE_MAX + 1, &len);
	if (r == -EFBIG)
		add_error(l->problems, l->path, "is larger than 1 MiB");
	else if (r < 0)
		add_error(
		    l->problems, l->path, "cannot be read: %s", strerror(-r));
	if (r == 0) {
		r = envfile_parse(text, len, file_line, l, &line, &what);
		if (r == -EINVAL)
			add_error(
			    l->problems, l->path, "line %u: %s", line, what);
		else if (r < 0)
			l->no_memory = true;
	}
	explicit_bzero(text, FILE_MAX + 1);
}

static bool
holds_secret(const struct loader *l)
{
	size_t i;

	for (i = 0; i < CONFIG_VARS_MAX; i++) {
		const struct source *s = &l->sources[i];

		if (s->value == NULL || *s->value == '\0')
			continue;
		if ((s->row->var.flags & CONFIG_SECRET) != 0)
			return true;
		if (s->row->kind == KIND_STR &&
		    config_check_is_url(s->row->check) &&
		    config_url_has_secret(s->value))
			return true;
	}
	return false;
}

static void
load_file(struct loader *l, const char *file)
{
	_cleanup_fd_ int fd = -1;
	struct stat st;

	l->path = file != NULL ? file : CONFIG_DEFAULT_FILE;
	/* Not to hang on a FIFO. */
	fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1) {
		if (file != NULL || errno != ENOENT)
			add_error(l->problems, l->path, "cannot be opened: %s",
			    strerror(errno));
		return;
	}
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		add_error(l->problems, l->path, "is not a regular file");
		return;
	}
	if ((st.st_mode & S_IWOTH) != 0) {
		add_error(l->problems, l->path,
		    "is writable for everybody (mode %04o): chmod o-w it, "
		    "and look at what it says first",
		    (unsigned int)st.st_mode & 07777);
		return;
	}
	if (st.st_uid != 0 && geteuid() == 0)
		add_warning(l->problems, l->path,
		    "belongs to user %u, who can so decide what root loads",
		    (unsigned int)st.st_uid);
	parse_file(l, fd);
	if ((st.st_mode & S_IROTH) != 0 && holds_secret(l))
		add_warning(l->problems, l->path,
		    "holds a secret and is readable for everybody (mode "
		    "%04o): chmod 0600 it",
		    (unsigned int)st.st_mode & 07777);
}

static void
load_environ(struct loader *l, char *const *environ_list)
{
	const struct config_row *row;
	const char *eq;
	char name[64];

	for (; environ_list != NULL && *environ_list != NULL; environ_list++) {
		eq = strchr(*environ_list, '=');
		if (eq == NULL || strncmp(*environ_list, "AGENT_", 6) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%.*s",
		    (int)(eq - *environ_list), *environ_list);
		row = config_row_find(name);
		if (row == NULL)
			unknown_name(l, name);
		else
			set_value(l, row, eq + 1, false, 0);
	}
}

/* ---- what the values must be together ---- */

static void
check_pair(struct config_problems *p, const char *cert_name, const char *cert,
    const char *key_name, const char *key)
{
	if (*cert != '\0' && *key == '\0')
		add_error(p, key_name,
		    "must be set too, since %s is: a "
		    "certificate needs its key",
		    cert_name);
	if (*cert == '\0' && *key != '\0')
		add_error(p, cert_name,
		    "must be set too, since %s is: a "
		    "key needs its certificate",
		    key_name);
}

static bool
is_local(const char *url)
{
	const char *host = strstr(url, "://");

	host = host != NULL ? host + 3 : url;
	return strncmp(host, "localhost", 9) == 0 ||
	    strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0;
}

static void
check_clear_text(struct config_problems *p, const struct config *c)
{
	if (strncmp(c->registry_url, "http://", 7) == 0 &&
	    c->registry_token_file[0] != '\0' && !is_local(c->registry_url))
		add_warning(p, "AGENT_REGISTRY_URL",
		    "sends the registry token over the network in the "
		    "clear: use https://");
	if (c->public_key[0] != '\0')
		return;
	if (strncmp(c->vault_url, "http://", 7) == 0 && !is_local(c->vault_url))
		add_warning(p, "AGENT_VAULT_URL",
		    "sends the Vault token, and gets the keys that decide "
		    "what is loaded, in the clear: use https://, or pin a "
		    "key in AGENT_PUBLIC_KEY");
}

static void
check_together(struct config_problems *p, const struct config *c)
{
	const char *url = c->registry_url;

	check_pair(p, "AGENT_REGISTRY_CERT", c->registry_cert,
	    "AGENT_REGISTRY_KEY", c->registry_key);
	check_pair(
	    p, "AGENT_NATS_CERT", c->nats_cert, "AGENT_NATS_KEY", c->nats_key);
	check_pair(
	    p, "AGENT_HTTP_CERT", c->http_cert, "AGENT_HTTP_KEY", c->http_key);
	if (strncmp(url, "https://", 8) != 0 &&
	    (c->registry_ca[0] != '\0' || c->registry_cert[0] != '\0'))
		add_warning(p, "AGENT_REGISTRY_URL",
		    "is not https://, so that AGENT_REGISTRY_CA, _CERT and "
		    "_KEY have no effect");
	if (strncmp(c->vault_url, "https://", 8) != 0 &&
	    c->vault_ca[0] != '\0' && c->public_key[0] == '\0')
		add_warning(p, "AGENT_VAULT_URL",
		    "is not https://, so that AGENT_VAULT_CA has no effect");
	check_clear_text(p, c);
	if (strcmp(c->state_dir, c->cache_dir) == 0)
		add_error(p, "AGENT_CACHE_DIR",
		    "must not be the same directory as AGENT_STATE_DIR: the "
		    "cache belongs to the process that talks to the registry");
}

static void
parse_values(struct loader *l, struct config *c)
{
	const struct config_row *row;
	struct config_problem *new;
	char why[256];
	size_t i;

	for (i = 0; (row = config_row(i)) != NULL; i++) {
		struct source *s = &l->sources[i];

		if (config_row_parse(row, c, "", why, sizeof(why)) < 0) {
			add_error(l->problems, row->var.name, "%s", why);
			continue;
		}
		if (s->value == NULL)
			continue;
		if (config_row_parse(row, c, s->value, why, sizeof(why)) == 0)
			continue;
		new = add_problem(l->problems, false, row->var.name);
		if (new == NULL)
			continue;
		config_row_redact(
		    row, s->value, new->value, sizeof(new->value));
		if (s->from_file)
			(void)snprintf(new->text, sizeof(new->text),
			    "%s (line %u of %.100s)", why, s->line, l->path);
		else
			(void)snprintf(new->text, sizeof(new->text), "%s", why);
		str_scrub(new->text, sizeof(new->text));
	}
}

int
config_load(struct config *c, const char *file, char *const *environ_list,
    struct config_problems *p)
{
	struct loader l = { .problems = p };
	size_t before = p->errors, i;

	/* Zero-filled to the last byte: config_diff() compares bytes. */
	memset(c, 0, sizeof(*c));
	load_file(&l, file);
	load_environ(&l, environ_list);
	parse_values(&l, c);
	check_together(p, c);
	for (i = 0; i < CONFIG_VARS_MAX; i++) {
		if (l.sources[i].value == NULL)
			continue;
		explicit_bzero(l.sources[i].value, strlen(l.sources[i].value));
		free(l.sources[i].value);
	}
	if (l.no_memory)
		return -ENOMEM;
	return p->errors == before ? 0 : -EINVAL;
}

/* ---- the files that variables name ---- */

static void
check_one_file(
    struct config_problems *p, const struct config_row *row, const char *path)
{
	_cleanup_config_secret_ struct config_secret s = { 0 };
	size_t n = strlen(row->var.name), tail = strlen("_TOKEN_FILE");
	bool token =
	    n > tail && strcmp(row->var.name + n - tail, "_TOKEN_FILE") == 0;
	char err[AEGIS_TEXT_SIZE];
	struct stat st;

	if (config_read_secret(path, AEGIS_SECRET_MAX, token, &s, err) < 0) {
		add_error(p, row->var.name, "%s", err);
		return;
	}
	if ((row->var.flags & CONFIG_SECRET_FILE) != 0 &&
	    stat(path, &st) == 0 && (st.st_mode & S_IROTH) != 0)
		add_warning(p, row->var.name,
		    "%s is a secret and readable for everybody (mode %04o): "
		    "chmod 0600 it",
		    path, (unsigned int)st.st_mode & 07777);
}

int
config_check_files(const struct config *c, struct config_problems *p)
{
	size_t before = p->errors, i;
	const struct config_row *row;
	char err[AEGIS_TEXT_SIZE];

	for (i = 0; (row = config_row(i)) != NULL; i++) {
		_cleanup_config_secret_ struct config_secret key = { 0 };
		const char *value;

		if (row->kind != KIND_STR)
			continue;
		value = config_row_string(row, c);
		if (row->check == CHECK_FILE && *value != '\0')
			check_one_file(p, row, value);
		if (row->check == CHECK_PUBLIC_KEY && pubkey_is_file(value) &&
		    config_read_public_key(value, &key, err) < 0)
			add_error(p, row->var.name, "%s", err);
	}
	return p->errors == before ? 0 : -EINVAL;
}

int
config_load_all(struct config *c, const char *file, char *const *environ_list,
    struct config_problems *p)
{
	int r = config_load(c, file, environ_list, p);
	int files = 0;

	if (r == 0 || r == -EINVAL)
		files = config_check_files(c, p);
	return r < 0 ? r : files;
}
