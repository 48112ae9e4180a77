/* SPDX-License-Identifier: ISC */
#include "unit.h"

#include <string.h>

#include "apid/prometheus.h"
#include "common/clock.h"
#include "synthetic.h"

static char *
render(bool openmetrics, uint32_t programs, const char *awkward_name)
{
	struct synthetic spec = {
		.host_id = "host-001",
		.programs = programs,
		.boot_ns = 5000 * NSEC_PER_SEC,
		.wall_ns = 9000 * NSEC_PER_SEC,
		.uptime_sec = 100,
		.ttl_sec = 60,
		.health = HEALTH_DEGRADED,
		.beat = 5,
	};
	struct render_now now = { .boot_ns = spec.boot_ns,
		.wall_ns = spec.wall_ns };
	struct snapshot_program *p;
	struct snapshot snap;
	const char *what;
	void *bytes;
	size_t len;
	char *out;

	synthetic_snapshot(&spec, &bytes, &len);
	ck_assert_int_eq(snapshot_check(bytes, len, &snap, &what), 0);
	if (awkward_name != NULL) {
		p = (void *)(uintptr_t)snap.programs;
		(void)snprintf(p->name, sizeof(p->name), "%s", awkward_name);
	}
	ck_assert_int_eq(
	    prometheus_render(openmetrics, &snap, &now, &out, &len), 0);
	ck_assert_uint_eq(strlen(out), len);
	free(bytes);
	return out;
}

START_TEST (counters_are_named_by_each_formats_rules) {
	_cleanup_free_ char *text = render(false, 1, NULL);
	_cleanup_free_ char *om = render(true, 1, NULL);
	static const char sample[] =
	    "\naegisflux_program_packets_processed_total{artifact_id="
	    "\"artifact-000\",name=\"xdp_drop_cidr\",version=\"1.0.0\"} 5000\n";

	ck_assert_ptr_nonnull(strstr(text, sample));
	ck_assert_ptr_nonnull(strstr(om, sample));
	ck_assert_ptr_nonnull(strstr(text,
	    "# TYPE aegisflux_program_packets_processed_total counter\n"));
	ck_assert_ptr_nonnull(
	    strstr(om, "# TYPE aegisflux_program_packets_processed counter\n"));
	ck_assert_ptr_null(strstr(text, "# EOF"));
	ck_assert_str_eq(om + strlen(om) - 6, "# EOF\n");
}
END_TEST

START_TEST (label_values_are_escaped) {
	_cleanup_free_ char *text = render(false, 1, "a\"b\\c\nd");

	ck_assert_ptr_nonnull(strstr(text, "name=\"a\\\"b\\\\c\\nd\""));
}
END_TEST

START_TEST (histogram_adds_up) {
	_cleanup_free_ char *text = render(false, 0, NULL);

	/* Buckets of the fixture: 0 1 2 3 0 1 2 3 0 1 2 3. */
	ck_assert_ptr_nonnull(strstr(
	    text, "aegisflux_load_duration_seconds_bucket{le=\"0.001\"} 0\n"));
	ck_assert_ptr_nonnull(strstr(
	    text, "aegisflux_load_duration_seconds_bucket{le=\"0.01\"} 6\n"));
	ck_assert_ptr_nonnull(strstr(
	    text, "aegisflux_load_duration_seconds_bucket{le=\"+Inf\"} 18\n"));
	ck_assert_ptr_nonnull(
	    strstr(text, "aegisflux_load_duration_seconds_count 18\n"));
	ck_assert_ptr_nonnull(
	    strstr(text, "aegisflux_load_duration_seconds_sum 1.234567\n"));
}
END_TEST

START_TEST (health_is_one_of_three) {
	_cleanup_free_ char *text = render(false, 0, NULL);

	ck_assert_ptr_nonnull(
	    strstr(text, "aegisflux_health{state=\"healthy\"} 0\n"));
	ck_assert_ptr_nonnull(
	    strstr(text, "aegisflux_health{state=\"degraded\"} 1\n"));
	ck_assert_ptr_nonnull(strstr(
	    text, "aegisflux_health_reason{component=\"registry\"} 1\n"));
}
END_TEST

UNIT_MAIN("prometheus", counters_are_named_by_each_formats_rules,
    label_values_are_escaped, histogram_adds_up, health_is_one_of_three)
