/* SPDX-License-Identifier: ISC */
/*
 * Every variable: its default, a good value, each kind of bad value; all
 * problems at once; secrets unseen; the manual's list and the table's equal.
 */
#include "agentd/config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "agentd/config_table.h"
#include "tests/unit/unit.h"

#define ED25519_B64 "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
#define ED25519_PEM                                                            \
	"-----BEGIN PUBLIC KEY-----\n"                                         \
	"MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"       \
	"-----END PUBLIC KEY-----\n"
#define ED25519_DER                                                            \
	"MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

/* environ(7) has no const. */
#define ENV(list) ((char *const *)(uintptr_t)(list))

#define TEMPLATE "/tmp/aegis-test-config-XXXXXX"

static char dir[sizeof(TEMPLATE)];
static char file[sizeof(dir) + 16];

static const char *
write_file(const char *text, mode_t mode)
{
	_cleanup_fd_ int fd = -1;

	if (dir[0] == '\0') {
		memcpy(dir, TEMPLATE, sizeof(dir));
		ck_assert_ptr_nonnull(mkdtemp(dir));
	}
	(void)snprintf(file, sizeof(file), "%s/env", dir);
	(void)unlink(file);
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (int)strlen(text));
	ck_assert_int_eq(fchmod(fd, mode), 0);
	return file;
}

static void
remove_files(void)
{
	(void)unlink(file);
	(void)rmdir(dir);
	dir[0] = '\0';
}

/* Load with one variable set; the file says nothing. */
static int
load_one(struct config *c, const char *name, const char *value,
    struct config_problems *p)
{
	char *list[2] = { NULL, NULL };
	int r;

	ck_assert_int_ge(asprintf(&list[0], "%s=%s", name, value), 0);
	r = config_load(c, write_file("", 0600), list, p);
	free(list[0]);
	remove_files();
	return r;
}

static const struct config_problem *
find_problem(const struct config_problems *p, const char *variable)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		if (strcmp(p->list[i].variable, variable) == 0)
			return &p->list[i];
	return NULL;
}

START_TEST (defaults_are_the_contract) {
	_cleanup_config_problems_ struct config_problems p =
	    CONFIG_PROBLEMS_INIT;
	struct config c;

	ck_assert_int_eq(config_load(&c, write_file("", 0600), NULL, &p), 0);
	remove_files();
	ck_assert_uint_eq(p.count, 0);
	ck_assert_str_eq(c.host_id, "localhost");
	ck_assert_str_eq(c.registry_url, "http://localhost:8084");
	ck_assert_uint_eq(c.poll_interval_sec, 30);
	ck_assert_str_eq(c.nats_url, "nats://localhost:4222");
	ck_assert_str_eq(c.vault_url, "http://localhost:8200");
	ck_assert_str_eq(c.vault_token, "dev-token");
	ck_assert_str_eq(c.public_key, "");
	ck_assert_str_eq(c.cache_dir, "/tmp/aegisflux-agent");
	ck_assert_uint_eq(c.max_programs, 10);
	ck_assert_uint_eq(c.default_ttl_sec, 3600);
	ck_assert_int_eq(c.log_level, LOG_LEVEL_INFO);
	ck_assert_str_eq(c.telemetry_subject, "agent.telemetry");
	ck_assert_uint_eq(c.http_port, 8080);
	ck_assert_str_eq(c.http_address, "");
	ck_assert_uint_eq(c.rollback_max_errors, 10);
	ck_assert_uint_eq(c.rollback_max_violations, 100);
	ck_assert(c.rollback_max_cpu_percent == 80.0);
	ck_assert(c.rollback_max_latency_ms == 1000.0);
	ck_assert_uint_eq(c.rollback_max_memory_kb, 102400);
	ck_assert(c.rollback_verifier_failure);
	ck_assert_uint_eq(c.rollback_check_interval_sec, 30);
	ck_assert_uint_eq(c.rollback_delay_sec, 5);
	/* Those that the contract adds. */
	ck_assert_str_eq(c.vault_key_path, "transit/keys/bpf-registry");
	ck_assert_str_eq(c.state_dir, "/var/lib/aegisflux");
	ck_assert(c.unload_withdrawn);
	ck_assert_str_eq(c.registry_binary_path, "/artifacts/{id}/binary");
	ck_assert_uint_eq(c.vault_key_max_age_sec, 86400);
	ck_assert_int_eq(c.parameters, PARAMETERS_SCHEMA);
	ck_assert_uint_eq(c.cache_max_mb, 256);
	ck_assert_uint_eq(c.spool_max_mb, 64);
	ck_assert_uint_eq(c.violation_rate, 1000);
	ck_assert_uint_eq(c.heartbeat_sec, 5);
	ck_assert_uint_eq(c.probation_sec, 300);
	ck_assert_str_eq(c.control_socket, "/run/aegisflux/control.sock");
}
END_TEST

#define THREE_SERVERS "nats://a,nats://b,nats://c"
#define NINE_SERVERS  THREE_SERVERS "," THREE_SERVERS "," THREE_SERVERS

static const struct {
	const char *name;
	const char *good;
	const char *bad[8];
} values[] = {
	{ "AGENT_HOST_ID", "host-1.example", { "a b", "../x", "a/b", ".a" } },
	{ "AGENT_LOG_LEVEL", "DEBUG", { "loud", "0" } },
	{ "AGENT_STATE_DIR", "/srv/state", { "state", "/", "/a/../b" } },
	{ "AGENT_CACHE_DIR", "/srv/cache/", { "./x", "//", "/..", "/a\n" } },
	{ "AGENT_CACHE_MAX_MB", "0", { "-1", "1048577", "1G", "1.5" } },
	{ "AGENT_CONTROL_SOCKET", "/run/x.sock",
	    { "x",
		"/1234567890123456789012345678901234567890123456789012345678"
		"90123456789012345678901234567890123456789012345678" } },
	{ "AGENT_REGISTRY_URL", "file:///srv/registry",
	    { "ftp://x", "http://", "http://u:p@x", "http://x:0", "http://x/?q",
		"file://srv", "http://[::1", "http://a b" } },
	{ "AGENT_REGISTRY_BINARY_PATH", "/bundles/{id}",
	    { "/bundles", "{id}", "/{id}/{id}", "/{id}{x}", "/a b/{id}" } },
	{ "AGENT_REGISTRY_CA", "/etc/ca.pem", { "ca.pem" } },
	{ "AGENT_REGISTRY_CERT", "/etc/c.pem", { "c.pem", "/" } },
	{ "AGENT_REGISTRY_KEY", "/etc/k.pem", { "../k.pem" } },
	{ "AGENT_REGISTRY_TOKEN_FILE", "/etc/token", { "token" } },
	{ "AGENT_POLL_INTERVAL_SEC", "1", { "0", "30s", " 1", "86401", "x" } },
	{ "AGENT_PUBLIC_KEY", ED25519_B64,
	    { "x", "file:key", "AAAA", "-----BEGIN PUBLIC KEY-----",
		"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----",
		ED25519_B64 "A" } },
	{ "AGENT_VAULT_URL", "https://vault.example:8200/",
	    { "vault", "file:///x", "https://u@x", "https://x:99999" } },
	{ "AGENT_VAULT_TOKEN", "hvs.x", { "a b", "a\n", "\xc3\xa9" } },
	{ "AGENT_VAULT_TOKEN_FILE", "/etc/token", { "token" } },
	{ "AGENT_VAULT_KEY_PATH", "secret/data/key",
	    { "/transit", "v1/transit/keys/x", "a//b", "a/", "a/../b",
		"a b" } },
	{ "AGENT_VAULT_NAMESPACE", "team/a", { "/a", "a b", "a\"" } },
	{ "AGENT_VAULT_CA", "/etc/ca.pem", { "ca.pem" } },
	{ "AGENT_VAULT_KEY_MAX_AGE_SEC", "3600", { "0", "4", "1d" } },
	{ "AGENT_PARAMETERS", "signed", { "all", "1" } },
	{ "AGENT_MAX_PROGRAMS", "4096", { "0", "4097", "ten" } },
	{ "AGENT_DEFAULT_TTL_SEC", "0", { "-1", "1h" } },
	{ "AGENT_UNLOAD_WITHDRAWN", "no", { "maybe", "2", "t" } },
	{ "AGENT_PROBATION_SEC", "0", { "x" } },
	{ "AGENT_ROLLBACK_MAX_ERRORS", "18446744073709551615",
	    { "-1", "18446744073709551616" } },
	{ "AGENT_ROLLBACK_MAX_VIOLATIONS", "0", { "many" } },
	{ "AGENT_ROLLBACK_MAX_CPU_PERCENT", "0.5", { "80%", "nan", "-1" } },
	{ "AGENT_ROLLBACK_MAX_LATENCY_MS", "1.5", { "1ms", "inf" } },
	{ "AGENT_ROLLBACK_MAX_MEMORY_KB", "1", { "1.5" } },
	{ "AGENT_ROLLBACK_VERIFIER_FAILURE", "0", { "off" } },
	{ "AGENT_ROLLBACK_CHECK_INTERVAL_SEC", "1", { "0" } },
	{ "AGENT_ROLLBACK_DELAY_SEC", "0", { "x" } },
	{ "AGENT_ROLLBACK_SIGNAL_KEY", ED25519_DER, { "x" } },
	{ "AGENT_NATS_URL", "nats://u:p@a:1,tls://[::1]:4222",
	    { "a:4222", "nats://", "nats://a,b", "http://a", "nats://a/x",
		"nats://a, tls://b", NINE_SERVERS } },
	{ "AGENT_TELEMETRY_SUBJECT", "a.b-c",
	    { "a..b", ".a", "a.", "a.*", ">", "a b" } },
	{ "AGENT_NATS_STREAM", "EVENTS", { "a.b", "a b", "*" } },
	{ "AGENT_NATS_CREDS", "/etc/x.creds", { "x.creds" } },
	{ "AGENT_NATS_CA", "/etc/ca.pem", { "ca.pem" } },
	{ "AGENT_NATS_CERT", "/etc/c.pem", { "c.pem" } },
	{ "AGENT_NATS_KEY", "/etc/k.pem", { "k.pem" } },
	{ "AGENT_HEARTBEAT_SEC", "60", { "0" } },
	{ "AGENT_VIOLATION_RATE", "10000", { "0", "1/s" } },
	{ "AGENT_SPOOL_MAX_MB", "1", { "0" } },
	{ "AGENT_HTTP_PORT", "443", { "0", "65536", "http", "0x" } },
	{ "AGENT_HTTP_ADDRESS", "[::1]", { "eth0", "1.2.3", "::g" } },
	{ "AGENT_HTTP_TOKEN_FILE", "/etc/token", { "token" } },
	{ "AGENT_HTTP_CERT", "/etc/c.pem", { "c.pem" } },
	{ "AGENT_HTTP_KEY", "/etc/k.pem", { "k.pem" } },
};

START_TEST (every_variable_has_a_case_here) {
	const struct config_var *v;
	size_t i, j;

	for (i = 0; (v = config_var(i)) != NULL; i++) {
		for (j = 0; j < nitems(values); j++)
			if (strcmp(values[j].name, v->name) == 0)
				break;
		ck_assert_msg(j < nitems(values), "%s has none", v->name);
		ck_assert_uint_ne(v->users, 0);
	}
	ck_assert_uint_eq(i, nitems(values));
}
END_TEST

START_TEST (good_values_are_taken) {
	size_t i;

	for (i = 0; i < nitems(values); i++) {
		_cleanup_config_problems_ struct config_problems p =
		    CONFIG_PROBLEMS_INIT;
		const struct config_var *changed[CONFIG_VARS_MAX];
		struct config c, dflt;
		size_t n;

		ck_assert_int_eq(
		    config_load(&dflt, write_file("", 0600), NULL, &p), 0);
		n = (size_t)load_one(&c, values[i].name, values[i].good, &p);
		/* A certificate alone lacks its key: that is another test. */
		if (n != 0)
			ck_assert_msg(strstr(values[i].name, "_CERT") != NULL ||
				strstr(values[i].name, "_KEY") != NULL,
			    "%s=%s: %s", values[i].name, values[i].good,
			    p.list[0].text);
		n = config_diff(&dflt, &c, changed);
		ck_assert_msg(n == 1, "%s", values[i].name);
		ck_assert_str_eq(changed[0]->name, values[i].name);
	}
}
END_TEST

START_TEST (bad_values_are_named_with_what_is_allowed) {
	size_t i, j;

	for (i = 0; i < nitems(values); i++) {
		ck_assert_ptr_nonnull(values[i].bad[0]);
		for (j = 0; j < nitems(values[i].bad); j++) {
			_cleanup_config_problems_ struct config_problems p =
			    CONFIG_PROBLEMS_INIT;
			const char *bad = values[i].bad[j];
			struct config c;

			if (bad == NULL)
				break;
			ck_assert_msg(
			    load_one(&c, values[i].name, bad, &p) == -EINVAL,
			    "%s=%s was taken", values[i].name, bad);
			ck_assert_uint_eq(p.errors, 1);
			ck_assert_ptr_nonnull(find_problem(&p, values[i].name));
			ck_assert_msg(strncmp(p.list[0].text, "must", 4) == 0 ||
				strncmp(p.list[0].text, "has ", 4) == 0 ||
				strncmp(p.list[0].text, "is ", 3) == 0 ||
				strncmp(p.list[0].text, "PEM ", 4) == 0 ||
				strncmp(p.list[0].text, "this ", 5) == 0,
			    "%s: %s", bad, p.list[0].text);
		}
	}
}
END_TEST

START_TEST (every_problem_is_told_at_once) {
	static const char *const list[] = { "AGENT_HTTP_PORT=x",
		"AGENT_POLL_INTERVAL_SEC=0", "AGENT_HOST_ID=a b",
		"AGENT_NATS_CERT=/c", "AGENT_HTTP_PROT=1", "HOME=/", NULL };
	_cleanup_config_problems_ struct config_problems p =
	    CONFIG_PROBLEMS_INIT;
	const struct config_problem *one;
	struct config c;
	char line[1024];

	ck_assert_int_eq(
	    config_load(&c,
		write_file("AGENT_MAX_PROGRAMS=0\nAGENT_LOG_LEVEL=x\n", 0600),
		ENV(list), &p),
	    -EINVAL);
	remove_files();
	ck_assert_uint_eq(p.errors, 6);
	ck_assert_uint_eq(p.count, 7);
	one = find_problem(&p, "AGENT_HTTP_PORT");
	ck_assert_ptr_nonnull(one);
	config_problem_format(one, line, sizeof(line));
	ck_assert_str_eq(line,
	    "AGENT_HTTP_PORT: \"x\": must be a whole number from 1 to 65535");
	one = find_problem(&p, "AGENT_POLL_INTERVAL_SEC");
	config_problem_format(one, line, sizeof(line));
	ck_assert_str_eq(line,
	    "AGENT_POLL_INTERVAL_SEC: \"0\": must be a whole number from 1 to "
	    "86400 (seconds, without a unit)");
	one = find_problem(&p, "AGENT_LOG_LEVEL");
	ck_assert_ptr_nonnull(strstr(one->text, "debug info warn error"));
	ck_assert_ptr_nonnull(strstr(one->text, "(line 2 of "));
	one = find_problem(&p, "AGENT_NATS_KEY");
	ck_assert_ptr_nonnull(one);
	one = find_problem(&p, "AGENT_HTTP_PROT");
	ck_assert(one->warning);
	ck_assert_ptr_nonnull(strstr(one->text, "AGENT_HTTP_PORT?"));
}
END_TEST

START_TEST (the_nearest_name_or_none) {
	ck_assert_str_eq(
	    config_name_nearest("AGENT_REGISTRY_ULR"), "AGENT_REGISTRY_URL");
	ck_assert_str_eq(config_name_nearest("AGENT_HOSTID"), "AGENT_HOST_ID");
	ck_assert_str_eq(config_name_nearest("AGENT_ROLLBACK_MAX_LATENCY"),
	    "AGENT_ROLLBACK_MAX_LATENCY_MS");
	ck_assert_ptr_null(config_name_nearest("AGENT_FROBNICATE"));
	ck_assert_ptr_null(config_name_nearest("AGENT_"));
}
END_TEST

START_TEST (environment_wins_and_empty_is_the_default) {
	static const char *const list[] = { "AGENT_HOST_ID=env",
		"AGENT_HTTP_PORT=", NULL };
	_cleanup_config_problems_ struct config_problems p =
	    CONFIG_PROBLEMS_INIT;
	struct config c;

	ck_assert_int_eq(
	    config_load(&c,
		write_file("AGENT_HOST_ID=file\nAGENT_HTTP_PORT=1\n"
			   "AGENT_MAX_PROGRAMS=3\nOTHER=x\n",
		    0600),
		ENV(list), &p),
	    0);
	remove_files();
	ck_assert_uint_eq(p.count, 0);
	ck_assert_str_eq(c.host_id, "env");
	ck_assert_uint_eq(c.http_port, 8080);
	ck_assert_uint_eq(c.max_programs, 3);
}
END_TEST

START_TEST (canonical_forms) {
	_cleanup_config_problems_ struct config_problems p =
	    CONFIG_PROBLEMS_INIT;
	struct config c;

	ck_assert_int_eq(
	    load_one(&c, "AGENT_REGISTRY_URL", "http://r:1/base//", &p), 0);
	ck_assert_str_eq(c.registry_url, "http://r:1/base");
	ck_assert_int_eq(
	    load_one(&c, "AGENT_REGISTRY_URL", "file:/srv/r/", &p), 0);
	ck_assert_str_eq(c.registry_url, "file:///srv/r");
	ck_assert_int_eq(load_one(&c, "AGENT_HTTP_ADDRESS", "[::1]", &p), 0);
	ck_assert_str_eq(c.http_address, "::1");
	ck_assert_int_eq(
	    load_one(&c, "AGENT_HTTP_ADDRESS", "localhost", &p), 0);
	ck_assert_str_eq(c.http_address, "127.0.0.1");
	ck_assert_int_eq(load_one(&c, "AGENT_CACHE_DIR", "/a/b/", &p), 0);
	ck_assert_str_eq(c.cache_dir, "/a/b");
}
END_TEST

START_TEST (the_file_itself) {
	struct config c;
	size_t i;
	static const struct {
		const char *text;
		mode_t mode;
		int result;
		const char *says;
	} cases[] = {
		{ "", 0606, -EINVAL, "writable for everybody" },
		{ "AGENT_HOST_ID=\"a", 0600, -EINVAL, "never closed" },
		{ "AGENT_VAULT_TOKEN=s3cret", 0604, 0, "chmod 0600" },
		{ "AGENT_NATS_URL=nats://u:p@h", 0644, 0, "chmod 0600" },
		{ "nonsense\n", 0600, 0, "no NAME=value" },
		{ "export AGENT_HOST_ID=a\n", 0600, 0, "no NAME=value" },
		{ "AGENT_HOST_ID=a\nAGENT_HOST_ID=b\n", 0600, 0, "twice" },
		{ "AGENT_HOST=a\n", 0600, 0, "AGENT_HOST_ID" },
	};

	for (i = 0; i < nitems(cases); i++) {
		_cleanup_config_problems_ struct config_problems p =
		    CONFIG_PROBLEMS_INIT;

		ck_assert_int_eq(
		    config_load(
			&c, write_file(cases[i].text, cases[i].mode), NULL, &p),
		    cases[i].result);
		ck_assert_uint_ge(p.count, 1);
		ck_assert_msg(strstr(p.list[0].text, cases[i].says) != NULL,
		    "%s: %s", cases[i].text, p.list[0].text);
		ck_assert_ptr_null(strstr(p.list[0].text, "s3cret"));
	}
	remove_files();
}
END_TEST

START_TEST (a_named_file_must_exist) {
	_cleanup_config_problems_ struct config_problems p =
	    CONFIG_PROBLEMS_INIT;
	struct config c;

	ck_assert_int_eq(
	    config_load(&c, "/nonexistent/agentd.env", NULL, &p), -EINVAL);
	ck_assert_str_eq(p.list[0].variable, "/nonexistent/agentd.env");
	config_problems_free(&p);
	ck_assert_int_eq(config_load(&c, "/tmp", NULL, &p), -EINVAL);
	ck_assert_int_eq(config_load(&c, "/dev/zero", NULL, &p), -EINVAL);
	ck_assert_uint_eq(p.errors, 2);
}
END_TEST

START_TEST (secrets_are_never_shown) {
	static const char *const list[] = { "AGENT_VAULT_TOKEN=hunter2 x",
		"AGENT_NATS_URL=nats://u:hunter2@h,http://hunter2@h",
		"AGENT_REGISTRY_URL=http://u:hunter2@h",
		"AGENT_PUBLIC_KEY=-----BEGIN PRIVATE KEY-----hunter2", NULL };
	_cleanup_config_problems_ struct config_problems p =
	    CONFIG_PROBLEMS_INIT;
	_cleanup_free_ char *text = NULL;
	struct config c;
	char line[1024];
	size_t i, len;
	FILE *f;

	ck_assert_int_eq(
	    config_load(&c, write_file("", 0600), ENV(list), &p), -EINVAL);
	ck_assert_uint_eq(p.errors, 4);
	for (i = 0; i < p.count; i++) {
		config_problem_format(&p.list[i], line, sizeof(line));
		ck_assert_ptr_null(strstr(line, "hunter2"));
	}
	config_problems_free(&p);
	ck_assert_int_eq(
	    config_load(&c,
		write_file("AGENT_VAULT_TOKEN=hunter2\n"
			   "AGENT_NATS_URL=nats://u:hunter2@h:1,tls://k\n",
		    0600),
		NULL, &p),
	    0);
	remove_files();
	f = open_memstream(&text, &len);
	ck_assert_ptr_nonnull(f);
	config_print(&c, f);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_ptr_null(strstr(text, "hunter2"));
	ck_assert_ptr_nonnull(strstr(text, "AGENT_VAULT_TOKEN=xxx\n"));
	ck_assert_ptr_nonnull(
	    strstr(text, "AGENT_NATS_URL=nats://xxx@h:1,tls://k\n"));
	ck_assert_ptr_nonnull(strstr(text, "AGENT_HTTP_PORT=8080\n"));
	ck_assert_ptr_nonnull(
	    strstr(text, "AGENT_ROLLBACK_MAX_CPU_PERCENT=80\n"));
	ck_assert_ptr_nonnull(strstr(text, "AGENT_PARAMETERS=schema\n"));
	config_wipe(&c);
	ck_assert_str_eq(c.vault_token, "");
}
END_TEST

START_TEST (urls_are_redacted) {
	static const char *const cases[][2] = {
		{ "nats://h:4222", "nats://h:4222" },
		{ "nats://u:p@h:1", "nats://xxx@h:1" },
		{ "nats://tok@h", "nats://xxx@h" },
		{ "nats://u:p@a,tls://b:2", "nats://xxx@a,tls://b:2" },
		{ "nats://u:p,w@a", "nats://xxx@a" },
		{ "nats://u:p@w@a", "nats://xxx@a" },
		{ "nats://u:pass", "nats://u:xxx" },
		{ "nats://[::1]:4222", "nats://[::1]:4222" },
		{ "u:p@h", "xxx@h" },
		{ "", "" },
	};
	char out[128];
	size_t i;

	for (i = 0; i < nitems(cases); i++) {
		config_redact_url(cases[i][0], out, sizeof(out));
		ck_assert_str_eq(out, cases[i][1]);
	}
	ck_assert(config_url_has_secret("nats://a,nats://u@b"));
	ck_assert(!config_url_has_secret("nats://a,nats://b"));
}
END_TEST

START_TEST (what_changed_and_may_be_taken_over) {
	_cleanup_config_problems_ struct config_problems p =
	    CONFIG_PROBLEMS_INIT;
	const struct config_var *changed[CONFIG_VARS_MAX];
	struct config a, b;

	ck_assert_int_eq(config_load(&a, write_file("", 0600), NULL, &p), 0);
	ck_assert_uint_eq(config_diff(&a, &a, changed), 0);
	ck_assert_int_eq(
	    config_load(&b,
		write_file("AGENT_HTTP_PORT=1\nAGENT_STATE_DIR=/x\n", 0600),
		NULL, &p),
	    0);
	remove_files();
	ck_assert_uint_eq(config_diff(&a, &b, changed), 2);
	ck_assert_str_eq(changed[0]->name, "AGENT_STATE_DIR");
	ck_assert_str_eq(changed[1]->name, "AGENT_HTTP_PORT");
	config_apply(&a, &b);
	ck_assert_uint_eq(a.http_port, 1);
	ck_assert_str_eq(a.state_dir, "/var/lib/aegisflux");
	ck_assert_uint_eq(config_diff(&a, &b, changed), 1);
	ck_assert_str_eq(changed[0]->name, "AGENT_STATE_DIR");
}
END_TEST

START_TEST (public_keys_become_pem) {
	static const char *const same[] = { ED25519_B64, ED25519_DER,
		ED25519_PEM,
		"-----BEGIN PUBLIC KEY-----\\n"
		"MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
		"\\n-----END PUBLIC KEY-----" };
	char value[128], err[AEGIS_TEXT_SIZE];
	size_t i;

	for (i = 0; i < nitems(same); i++) {
		_cleanup_config_secret_ struct config_secret s = { 0 };

		ck_assert_int_eq(config_read_public_key(same[i], &s, err), 0);
		ck_assert_str_eq(s.data, ED25519_PEM);
		ck_assert_uint_eq(s.len, strlen(ED25519_PEM));
	}
	for (i = 0; i < nitems(same); i++) {
		_cleanup_config_secret_ struct config_secret s = { 0 };

		(void)snprintf(
		    value, sizeof(value), "file:%s", write_file(same[i], 0644));
		ck_assert_int_eq(config_read_public_key(value, &s, err), 0);
		ck_assert_str_eq(s.data, ED25519_PEM);
	}
	remove_files();
	for (i = 0; i < 2; i++) {
		_cleanup_config_secret_ struct config_secret s = { 0 };

		ck_assert_int_eq(
		    config_read_public_key(i == 0 ? "" : value, &s, err),
		    -ENOENT);
		ck_assert_int_eq(*err == '\0', i == 0);
	}
}
END_TEST

START_TEST (secret_files) {
	char err[AEGIS_TEXT_SIZE];
	size_t i;
	static const struct {
		const char *text;
		mode_t mode;
		bool token;
		int result;
		const char *want;
	} cases[] = {
		{ "token\n", 0600, true, 0, "token" },
		{ "token\r\n", 0600, true, 0, "token" },
		{ "two words\n", 0600, true, -EINVAL, "blanks" },
		{ "two\nlines\n", 0600, true, -EINVAL, "one line" },
		{ "", 0600, false, -ENODATA, "empty" },
		{ "\n", 0600, true, -ENODATA, "empty" },
		{ "pem\n", 0604, false, 0, "pem\n" },
		{ "pem\n", 0602, false, -EPERM, "o-w" },
		{ "12345678901234567", 0600, false, -EFBIG, "larger than 16" },
		{ "1234567890123456", 0600, false, 0, "1234567890123456" },
	};

	for (i = 0; i < nitems(cases); i++) {
		_cleanup_config_secret_ struct config_secret s = { 0 };
		int r;

		r = config_read_secret(write_file(cases[i].text, cases[i].mode),
		    16, cases[i].token, &s, err);
		ck_assert_msg(r == cases[i].result, "%zu: %d %s", i, r, err);
		if (r == 0)
			ck_assert_str_eq(s.data, cases[i].want);
		else
			ck_assert_ptr_nonnull(strstr(err, cases[i].want));
		config_secret_wipe(&s);
		ck_assert_ptr_null(s.data);
	}
	remove_files();
	{
		_cleanup_config_secret_ struct config_secret s = { 0 };

		ck_assert_int_eq(
		    config_read_secret("/dev/zero", 16, false, &s, err),
		    -EINVAL);
		ck_assert_int_eq(
		    config_read_secret("/nonexistent", 16, false, &s, err),
		    -ENOENT);
		ck_assert_ptr_nonnull(strstr(err, "/nonexistent"));
	}
}
END_TEST

START_TEST (files_that_variables_name) {
	_cleanup_config_problems_ struct config_problems p =
	    CONFIG_PROBLEMS_INIT;
	struct config c;

	ck_assert_int_eq(
	    load_one(&c, "AGENT_NATS_CREDS", "/nonexistent/x", &p), 0);
	ck_assert_int_eq(config_check_files(&c, &p), -EINVAL);
	ck_assert_str_eq(p.list[0].variable, "AGENT_NATS_CREDS");
	config_problems_free(&p);
	ck_assert_int_eq(
	    load_one(&c, "AGENT_PUBLIC_KEY", "file:/nonexistent/x", &p), 0);
	ck_assert_int_eq(config_check_files(&c, &p), -EINVAL);
	config_problems_free(&p);
	ck_assert_int_eq(load_one(&c, "AGENT_NATS_CREDS", "/x", &p), 0);
	(void)snprintf(
	    c.nats_creds, sizeof(c.nats_creds), "%s", write_file("x", 0604));
	ck_assert_int_eq(config_check_files(&c, &p), 0);
	ck_assert_uint_eq(p.count, 1);
	ck_assert(p.list[0].warning);
	remove_files();
}
END_TEST

/* The text of the entry that begins at P, up to the next one or the list's
 * end. */
static char *
entry_at(const char *p)
{
	const char *next = strstr(p + 1, "\n.It Ev AGENT_");
	const char *end = strstr(p, "\n.El");

	if (next == NULL || (end != NULL && end < next))
		next = end;
	ck_assert_ptr_nonnull(next);
	return strndup(p, (size_t)(next - p) + 1);
}

static void
entry_fits(const struct config_row *row, const char *page)
{
	_cleanup_free_ char *entry = NULL;
	const char *value = row->var.default_value, *p;
	char head[256], range[64];

	if (*value != '\0')
		(void)snprintf(head, sizeof(head), "\n.It Ev %s Pq Ql %s\n",
		    row->var.name, value);
	else
		(void)snprintf(head, sizeof(head), "\n.It Ev %s Pq empty\n",
		    row->var.name);
	p = strstr(page, head);
	ck_assert_msg(p != NULL, "no entry \"%s\"", head + 1);
	entry = entry_at(p);
	ck_assert_msg((strstr(entry, "\n.Em restart\n") != NULL) ==
		((row->var.flags & CONFIG_RESTART) != 0),
	    "%s: restart", row->var.name);
	(void)snprintf(range, sizeof(range), "%" PRIu64 " to %" PRIu64,
	    row->min, row->max);
	if ((row->kind == KIND_U32 || row->kind == KIND_U64) &&
	    row->max != UINT64_MAX)
		ck_assert_msg(strstr(entry, range) != NULL, "%s: %s",
		    row->var.name, range);
	/* "A secret" where it is one; NATS URLs may hold one. */
	if ((row->var.flags & (CONFIG_SECRET | CONFIG_SECRET_FILE)) != 0)
		ck_assert_msg(strstr(entry, "\nA secret") != NULL, "%s: secret",
		    row->var.name);
}

START_TEST (the_manual_has_each_variable_and_no_other) {
	static char page[128 << 10];
	const struct config_row *row;
	size_t i, n;
	char *p, *end;
	FILE *f;

	f = fopen(AEGIS_MAN_DIR "/agentd.env.5", "re");
	ck_assert_ptr_nonnull(f);
	n = fread(page, 1, sizeof(page) - 1, f);
	ck_assert_int_eq(fclose(f), 0);
	page[n] = '\0';
	for (i = 0; (row = config_row(i)) != NULL; i++)
		entry_fits(row, page);
	for (p = page; (p = strstr(p, "\n.It Ev AGENT_")) != NULL;) {
		p += strlen("\n.It Ev ");
		end = strchr(p, ' ');
		ck_assert_ptr_nonnull(end);
		*end = '\0';
		ck_assert_msg(
		    config_row_find(p) != NULL, "%s is no variable", p);
		p = end + 1;
	}
}
END_TEST

UNIT_MAIN("config", defaults_are_the_contract, every_variable_has_a_case_here,
    good_values_are_taken, bad_values_are_named_with_what_is_allowed,
    every_problem_is_told_at_once, the_nearest_name_or_none,
    environment_wins_and_empty_is_the_default, canonical_forms, the_file_itself,
    a_named_file_must_exist, secrets_are_never_shown, urls_are_redacted,
    what_changed_and_may_be_taken_over, public_keys_become_pem, secret_files,
    files_that_variables_name, the_manual_has_each_variable_and_no_other)
