/* SPDX-License-Identifier: ISC */
#include "fetchd/url.h"

#include <string.h>

#include "unit.h"

static struct url_origin
origin(const char *url)
{
	struct url_origin o;

	ck_assert_msg(url_origin(url, &o) == 0, "%s", url);
	return o;
}

static bool
same(const char *a, const char *b)
{
	struct url_origin x = origin(a), y = origin(b);

	return url_same_origin(&x, &y);
}

START_TEST (test_origin) {
	struct url_origin o = origin("HTTPS://Registry.Example/x?y#z");

	ck_assert(o.https);
	ck_assert_str_eq(o.host, "registry.example");
	ck_assert_uint_eq(o.port, 443);
	ck_assert_uint_eq(origin("http://h").port, 80);
	ck_assert_uint_eq(origin("http://[::1]:8084/").port, 8084);
	ck_assert_str_eq(origin("http://[::1]:8084/").host, "[::1]");
}
END_TEST

START_TEST (test_no_origin) {
	static const char *const bad[] = { "", "h", "/x", "ftp://h/",
		"file:///etc/passwd", "http://", "http://u@h/", "http://u:p@h/",
		"http://h:0/", "http://h:65536/", "http://h h/", "gopher://h",
		"http://h:x/" };
	struct url_origin o;
	size_t i;

	for (i = 0; i < nitems(bad); i++)
		ck_assert_msg(
		    url_origin(bad[i], &o) == -EINVAL, "accepted: %s", bad[i]);
}
END_TEST

START_TEST (test_same_origin) {
	ck_assert(same("http://h/a", "http://H:80/b?c"));
	ck_assert(!same("http://h/", "https://h/"));
	ck_assert(!same("http://h/", "http://h:81/"));
	ck_assert(!same("http://h/", "http://h.evil/"));
	ck_assert(!same("http://h/", "http://sub.h/"));
	ck_assert(!same("http://127.0.0.1/", "http://localhost/"));
	/* Another way to write the address is the same address. */
	ck_assert(same("http://127.0.0.1/", "http://127.1/"));
}
END_TEST

START_TEST (test_fill) {
	char out[64] = "http://h";

	ck_assert_int_eq(url_fill(out, sizeof(out), "/a/{id}/b/{host_id}",
			     "x:y+z@1", "host-1", true),
	    0);
	ck_assert_str_eq(out, "http://h/a/x%3Ay%2Bz%401/b/host-1");
	out[0] = '\0';
	ck_assert_int_eq(
	    url_fill(out, sizeof(out), "/a/{id}", "x:y", "h", false), 0);
	ck_assert_str_eq(out, "/a/x:y");
	out[0] = '\0';
	ck_assert_int_eq(
	    url_fill(out, sizeof(out), "/{id}/{id}", "../a b/?#%", "h", true),
	    0);
	ck_assert_str_eq(out, "/..%2Fa%20b%2F%3F%23%25/..%2Fa%20b%2F%3F%23%25");
}
END_TEST

START_TEST (test_fill_refuses) {
	char out[16] = "";

	ck_assert_int_eq(
	    url_fill(out, sizeof(out), "/{what}", "a", "h", true), -EINVAL);
	out[0] = '\0';
	ck_assert_int_eq(
	    url_fill(out, sizeof(out), "/{id}", NULL, "h", true), -EINVAL);
	out[0] = '\0';
	ck_assert_int_eq(
	    url_fill(out, sizeof(out), "/{id", "a", "h", true), -EINVAL);
	out[0] = '\0';
	ck_assert_int_eq(
	    url_fill(out, sizeof(out), "/{id}", "0123456789abcdef", "h", true),
	    -ENAMETOOLONG);
	out[0] = '\0';
	ck_assert_int_eq(
	    url_fill(out, sizeof(out), "/{id}", "0123456789abcd", "h", true),
	    0);
	ck_assert_uint_eq(strlen(out), sizeof(out) - 1);
}
END_TEST

UNIT_MAIN("fetch_url", test_origin, test_no_origin, test_same_origin, test_fill,
    test_fill_refuses)
