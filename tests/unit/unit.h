/* SPDX-License-Identifier: ISC */
/*
 * The frame of every unit test: tests are registered in one list and run by
 * one main().
 *
 *	START_TEST(name) { ... } END_TEST
 *	UNIT_MAIN("module", first_test, second_test)
 *
 * UNIT_FIXTURE_MAIN() has SETUP run before each of them and TEARDOWN after it.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <check.h>
#include <stdlib.h>

#include "common/cleanup.h"

#define UNIT_MAIN(module, ...)                                                 \
	UNIT_FIXTURE_MAIN(module, NULL, NULL, __VA_ARGS__)

#define UNIT_FIXTURE_MAIN(module, setup, teardown, ...)                        \
	int main(void)                                                         \
	{                                                                      \
		const TTest *const tests[] = { __VA_ARGS__ };                  \
		Suite *suite = suite_create(module);                           \
		TCase *tcase = tcase_create(module);                           \
		SRunner *runner;                                               \
		size_t i;                                                      \
		int failed;                                                    \
                                                                               \
		for (i = 0; i < nitems(tests); i++)                            \
			tcase_add_test(tcase, tests[i]);                       \
		tcase_set_timeout(tcase, 60);                                  \
		tcase_add_checked_fixture(tcase, setup, teardown);             \
		suite_add_tcase(suite, tcase);                                 \
		runner = srunner_create(suite);                                \
		srunner_run_all(runner, CK_ENV);                               \
		failed = srunner_ntests_failed(runner);                        \
		srunner_free(runner);                                          \
		return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;              \
	}

#endif
