/* SPDX-License-Identifier: ISC */
#include "bpfd/notes.h"

#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/strnum.h"

/* libbpf's print callback has no context of its own. */
static _Thread_local struct notes *current;

/* "prog 'NAME': BPF program load failed: ...": NAME, or nothing. */
static void
find_program(struct notes *notes, const char *line)
{
	static const char start[] = "prog '";
	const char *name, *end;

	if (notes->program[0] != '\0' ||
	    strncmp(line, start, sizeof(start) - 1) != 0 ||
	    strstr(line, "load failed") == NULL)
		return;
	name = line + sizeof(start) - 1;
	end = strchr(name, '\'');
	if (end == NULL || (size_t)(end - name) >= sizeof(notes->program))
		return;
	memcpy(notes->program, name, (size_t)(end - name));
	notes->program[end - name] = '\0';
}

void
notes_add_line(struct notes *notes, const char *line)
{
	static const char prefix[] = "libbpf: ";
	size_t have = strlen(notes->text), len;

	if (strncmp(line, prefix, sizeof(prefix) - 1) == 0)
		line += sizeof(prefix) - 1;
	len = strcspn(line, "\n");
	find_program(notes, line);
	if (len == 0 || have + len + sizeof("; ") > sizeof(notes->text))
		return;
	if (have > 0) {
		memcpy(notes->text + have, "; ", 2);
		have += 2;
	}
	memcpy(notes->text + have, line, len);
	notes->text[have + len] = '\0';
	str_scrub(notes->text, sizeof(notes->text));
}

static int _printf_(2, 0)
    handle_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[NOTES_TEXT_SIZE];

	if (current == NULL || level != LIBBPF_WARN ||
	    strstr(fmt, "PROG LOAD LOG") != NULL)
		return 0;
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	notes_add_line(current, line);
	return 0;
}

void
notes_begin(struct notes *notes)
{
	current = notes;
	if (notes != NULL)
		memset(notes, 0, sizeof(*notes));
	(void)libbpf_set_print(handle_print);
}

size_t
notes_log_tail(const char *log, size_t len, size_t max)
{
	size_t off;
	const char *newline;

	if (len <= max)
		return 0;
	off = len - max;
	if (log[off - 1] == '\n')
		return off;
	newline = memchr(log + off, '\n', len - off);
	if (newline == NULL || newline + 1 == log + len)
		return off; /* one line longer than all there is room for */
	return (size_t)(newline + 1 - log);
}

static bool
is_statistics(const char *line, size_t len)
{
	static const char *const words[] = { "processed ", "verification time ",
		"stack depth ", "max_states_per_insn " };
	size_t i, n;

	for (i = 0; i < nitems(words); i++) {
		n = strlen(words[i]);
		if (len >= n && memcmp(line, words[i], n) == 0)
			return true;
	}
	return false;
}

void
notes_log_reason(const char *log, size_t len, char *out, size_t size)
{
	size_t start, end = len;

	out[0] = '\0';
	while (end > 0) {
		start = end;
		while (start > 0 && log[start - 1] != '\n')
			start--;
		if (end > start && !is_statistics(log + start, end - start)) {
			end -= start;
			end = end < size ? end : size - 1;
			memcpy(out, log + start, end);
			out[end] = '\0';
			str_scrub(out, size);
			return;
		}
		end = start > 0 ? start - 1 : 0;
	}
}
