/* SPDX-License-Identifier: ISC */
/*
 * The registry's parameters, which nobody signed, for a real object with
 * every kind of global and map.
 */
#include <stdint.h>

#include "kitchen_plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char metadata[] =
    "{\"name\":\"n\",\"version\":\"1\",\"attach\":["
    "{\"program\":\"p_xdp\",\"interface\":\"$interface\","
    "\"mode\":\"$mode\"},"
    "{\"program\":\"p_connect4\",\"cgroup\":\"$cgroup\"},"
    "{\"program\":\"p_tc\",\"interface\":\"lo\",\"priority\":\"$prio\"},"
    "{\"program\":\"p_fentry\",\"symbol\":\"$symbol\"},"
    "{\"program\":\"p_lsm_cgroup\",\"cgroup\":\"/x\"}],"
    "\"parameters\":{\"interface\":\"lo\",\"mode\":\"auto\","
    "\"cgroup\":\"/x\",\"prio\":\"1\",\"symbol\":\"vfs_read\"}}";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct metadata m;
	struct json_object *from_registry;
	struct problems p = { 0 };

	if (m.root == NULL &&
	    metadata_parse(metadata, strlen(metadata), &m, &p) < 0)
		abort();
	from_registry = json_parse((const char *)data, size, "p", &p);
	if (from_registry == NULL)
		return 0;
	kitchen_plan(&m, from_registry, &p);
	(void)json_object_put(from_registry);
	return 0;
}
