/* SPDX-License-Identifier: ISC */
#include "agentd/config_files.h"

#include "agentd/config_table.h"
#include "common/msg.h"
#include "common/pubkey.h"

/* The file that a variable names, "" if it names none. */
static const char *
file_of(const struct config_row *row, const struct config *c)
{
	const char *value;

	if (row->kind != KIND_STR ||
	    (row->var.users & PROC_BIT(PROC_AGENTD)) != 0)
		return "";
	value = config_row_string(row, c);
	if (row->check == CHECK_FILE)
		return value;
	if (row->check == CHECK_PUBLIC_KEY && pubkey_is_file(value))
		return pubkey_file(value);
	return "";
}

size_t
config_files_diff(struct config_files *f, const struct config *c,
    const struct config_var *changed[CONFIG_VARS_MAX], uint32_t *users)
{
	const struct config_row *row;
	size_t i, n = 0;

	*users = 0;
	for (i = 0; i < CONFIG_VARS_MAX && (row = config_row(i)) != NULL; i++) {
		if (!secrets_changed(file_of(row, c), &f->marks[i]))
			continue;
		changed[n++] = &row->var;
		*users |= row->var.users;
	}
	return n;
}
