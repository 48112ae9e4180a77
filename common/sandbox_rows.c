#include "common/sandbox_rows.h"
const struct sandbox_row sandbox_rows[PROC_MAX];
