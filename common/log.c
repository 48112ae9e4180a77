/* SPDX-License-Identifier: ISC */
#include "common/log.h"

#include <stdarg.h>
#include <string.h>

#include "common/clock.h"
#include "common/msg.h"

static struct {
	enum log_level level;
	bool people;
	bool json;
	char component[32];
	char host_id[AEGIS_ID_SIZE];
	struct imsg_channel *ch;
	log_sink sink; /* NULL: write, and wait if need be */
	void (*flush)(void *ctx);
	void *ctx;
} logger = { .level = LOG_LEVEL_INFO };

/* What is in a line; all but component and text may be NULL. */
struct line {
	const char *component, *artifact_id, *error, *text;
	const char *key, *value; /* of many lines */
};

static const char *const level_names[LOG_LEVEL_MAX] = {
	[LOG_LEVEL_DEBUG] = "debug",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_ERROR] = "error",
};

int
log_level_parse(const char *word, enum log_level *level)
{
	size_t i;

	for (i = 0; i < nitems(level_names); i++) {
		if (strcmp(word, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *
log_level_name(enum log_level level)
{
	return (size_t)level < nitems(level_names) ? level_names[level]
						   : "unknown";
}

void
log_set_level(enum log_level level)
{
	logger.level = level;
}

enum log_level
log_get_level(void)
{
	return logger.level;
}

void
log_open_stdout(const char *component, const char *host_id, bool people)
{
	logger.people = people;
	logger.json = !people;
	str_copy_cut(logger.component, sizeof(logger.component), component);
	str_copy_cut(logger.host_id, sizeof(logger.host_id), host_id);
}

void
log_set_sink(log_sink sink, void (*flush)(void *ctx), void *ctx)
{
	logger.sink = sink;
	logger.flush = flush;
	logger.ctx = ctx;
}

void
log_open_channel(struct imsg_channel *ch)
{
	logger.ch = ch;
}

/* S as a JSON string, for bytes that str_scrub() has seen or not. */
static void
put_json_string(FILE *f, const char *s)
{
	const unsigned char *p;

	(void)putc('"', f);
	for (p = (const unsigned char *)s; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			(void)fprintf(f, "\\%c", *p);
		else if (*p == '\n')
			(void)fputs("\\n", f);
		else if (*p == '\t')
			(void)fputs("\\t", f);
		else if (*p < 0x20 || *p == 0x7f)
			(void)fprintf(f, "\\u%04x", *p);
		else
			(void)putc(*p, f);
	}
	(void)putc('"', f);
}

static void
put_field(FILE *f, const char *key, const char *value)
{
	if (value == NULL || *value == '\0')
		return;
	(void)fprintf(f, ",\"%s\":", key);
	put_json_string(f, value);
}

/* One write a line: lines of two processes never mix. */
static void
put_line(int fd, const char *line, size_t len)
{
	size_t done = 0;
	ssize_t n;

	if (logger.sink != NULL) {
		logger.sink(line, len, logger.ctx);
		return;
	}
	while (done < len) {
		n = write(fd, line + done, len - done);
		if (n <= 0 && errno != EINTR)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
}

static void
format_json(FILE *f, enum log_level level, const struct line *l)
{
	char now[CLOCK_RFC3339_SIZE];

	clock_format_rfc3339(clock_wall_ns(), now);
	(void)fprintf(f, "{\"time\":\"%s\",\"level\":\"%s\",\"msg\":", now,
	    log_level_name(level));
	put_json_string(f, l->text);
	put_field(f, "host_id", logger.host_id);
	put_field(f, "service", "aegisflux-agent");
	put_field(f, "component", l->component);
	put_field(f, "artifact_id", l->artifact_id);
	put_field(f, "error", l->error);
	if (l->key != NULL)
		put_field(f, l->key, l->value);
	(void)fputs("}\n", f);
}

/* No line of it begins as one of ours does. */
static void
put_indented(FILE *f, const char *lines)
{
	size_t n;

	for (; *lines != '\0'; lines += n + (lines[n] == '\n' ? 1 : 0)) {
		n = strcspn(lines, "\n");
		(void)fprintf(f, "    %.*s\n", (int)n, lines);
	}
}

static void
format_text(FILE *f, enum log_level level, const struct line *l)
{
	const char *id = l->artifact_id != NULL ? l->artifact_id : "";
	const char *error = l->error != NULL ? l->error : "";
	char now[CLOCK_RFC3339_SIZE];

	clock_format_rfc3339(clock_wall_ns(), now);
	(void)fprintf(f, "%s %-5s %s: %s%s%s%s%s%s\n", now,
	    log_level_name(level), l->component, l->text,
	    *id != '\0' ? " [" : "", id, *id != '\0' ? "]" : "",
	    *error != '\0' ? ": " : "", error);
	if (l->value != NULL)
		put_indented(f, l->value);
}

static const char *
scrub_copy(char *out, size_t size, const char *s)
{
	if (s == NULL)
		return NULL;
	str_copy_cut(out, size, s);
	str_scrub(out, size);
	return out;
}

static void
write_line(enum log_level level, const struct line *given)
{
	char id[AEGIS_ID_SIZE], why[AEGIS_ERROR_SIZE];
	_cleanup_free_ char *line = NULL;
	struct line l = *given;
	size_t len = 0;
	FILE *f;

	if (level < logger.level)
		return;
	/* Whoever reads it, a collector or a terminal, gets text. */
	l.artifact_id = scrub_copy(id, sizeof(id), l.artifact_id);
	l.error = scrub_copy(why, sizeof(why), l.error);
	f = open_memstream(&line, &len);
	if (f == NULL)
		return;
	(logger.json ? format_json : format_text)(f, level, &l);
	if (fclose(f) == 0 && line != NULL)
		put_line(
		    logger.json ? STDOUT_FILENO : STDERR_FILENO, line, len);
}

void
log_write_for(const char *component, enum log_level level,
    const char *artifact_id, const char *error, const char *text)
{
	const struct line l = { .component = component,
		.artifact_id = artifact_id,
		.error = error,
		.text = text };

	write_line(level, &l);
}

/* LEN bytes as a string, scrubbed line by line; NULL: none, or no memory. */
static char *
scrub_lines(const char *bytes, size_t len)
{
	char *copy = bytes != NULL ? malloc(len + 1) : NULL, *line;
	size_t n;

	if (copy == NULL)
		return NULL;
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	for (line = copy; *line != '\0'; line += n) {
		n = strcspn(line, "\n");
		if (line[n] == '\0') {
			str_scrub(line, n + 1);
			break;
		}
		line[n] = '\0';
		str_scrub(line, n + 1);
		line[n++] = '\n';
	}
	return copy;
}

void
log_line_with(enum log_level level, const char *artifact_id, const char *error,
    const char *key, const char *value, size_t len, const char *fmt, ...)
{
	_cleanup_free_ char *lines = scrub_lines(value, len);
	char text[1024];
	struct line l = { .component = logger.component,
		.artifact_id = artifact_id,
		.error = error,
		.text = text,
		.key = key,
		.value = lines };
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	str_scrub(text, sizeof(text));
	write_line(level, &l);
}

static void
send_line(enum log_level level, const char *artifact_id, const char *error,
    const char *text)
{
	struct msg_worker_log m = { .level = (uint32_t)level };

	str_copy_cut(m.text, sizeof(m.text), text);
	str_scrub(m.text, sizeof(m.text));
	if (artifact_id != NULL) {
		str_copy_cut(m.artifact_id, sizeof(m.artifact_id), artifact_id);
		str_scrub(m.artifact_id, sizeof(m.artifact_id));
	}
	if (error != NULL) {
		str_copy_cut(m.error, sizeof(m.error), error);
		str_scrub(m.error, sizeof(m.error));
	}
	/* A log line that cannot be sent has nowhere else to go. */
	if (msg_send_WORKER_LOG(logger.ch, 0, &m) < 0)
		return;
}

static void _printf_(4, 0) log_vline(enum log_level level,
    const char *artifact_id, const char *error, const char *fmt, va_list ap)
{
	char text[1024];

	if (level < logger.level)
		return;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	str_scrub(text, sizeof(text));
	if (logger.ch != NULL)
		send_line(level, artifact_id, error, text);
	else
		log_write_for(logger.component[0] != '\0' ? logger.component
							  : "aegisflux",
		    level, artifact_id, error, text);
}

void
log_line(enum log_level level, const char *artifact_id, const char *error,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vline(level, artifact_id, error, fmt, ap);
	va_end(ap);
}

void
fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vline(LOG_LEVEL_ERROR, NULL, NULL, fmt, ap);
	va_end(ap);
	if (logger.ch != NULL && imsg_flush(logger.ch, 1000) < 0)
		exit(1);
	if (logger.flush != NULL)
		logger.flush(logger.ctx);
	exit(1);
}
