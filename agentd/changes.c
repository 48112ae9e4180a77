/* SPDX-License-Identifier: ISC */
#include "agentd/changes.h"

#include <stdbool.h>
#include <stdio.h>

#include "common/proc.h"

#define AFTER_RESTART " (after a restart of agentd)"
#define IN_ITS_FILE   " (what is in its file)"

/* What a list that has no more room ends with; never a cut name. */
#define MORE_SIZE sizeof(", and 4294967295 more")

struct list {
	char *text;
	size_t size;
	size_t len;
	unsigned int left_out;
};

static void
add_name(struct list *l, const char *name, const char *how)
{
	const char *comma = l->len == 0 ? "" : ", ";
	int n;

	if (l->left_out == 0) {
		n = snprintf(l->text + l->len, l->size - l->len, "%s%s%s",
		    comma, name, how);
		if (n >= 0 && (size_t)n + MORE_SIZE <= l->size - l->len) {
			l->len += (size_t)n;
			return;
		}
		l->text[l->len] = '\0';
	}
	l->left_out++;
}

static bool
is_among(const struct config_var *const *vars, size_t count,
    const struct config_var *var)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (vars[i] == var)
			return true;
	return false;
}

void
changes_describe(const struct changes *c, char *text, size_t size)
{
	struct list l = { .text = text, .size = size };
	size_t i;

	(void)snprintf(text, size, "nothing changed");
	for (i = 0; i < c->var_count; i++)
		add_name(&l, c->vars[i]->name,
		    c->vars[i]->flags & CONFIG_RESTART ? AFTER_RESTART : "");
	for (i = 0; i < c->file_count; i++)
		if (!is_among(c->vars, c->var_count, c->files[i]))
			add_name(&l, c->files[i]->name, IN_ITS_FILE);
	if (l.left_out > 0)
		(void)snprintf(text + l.len, size - l.len, "%s%u more",
		    l.len == 0 ? "" : ", and ", l.left_out);
}

/* The workers that use a value which is new by now. */
static uint32_t
users_of_vars(const struct changes *c)
{
	uint32_t users = 0;
	size_t i;

	for (i = 0; i < c->var_count; i++)
		if ((c->vars[i]->flags & CONFIG_RESTART) == 0)
			users |= c->vars[i]->users;
	return users & ~PROC_BIT(PROC_AGENTD);
}

uint32_t
changes_restart(const struct changes *c)
{
	return users_of_vars(c) |
	    (c->file_users & (PROC_BIT(PROC_API) | PROC_BIT(PROC_TELEM)));
}

uint32_t
changes_renew(const struct changes *c)
{
	return c->file_users & ~users_of_vars(c) &
	    (PROC_BIT(PROC_REGISTRY) | PROC_BIT(PROC_VAULT));
}
