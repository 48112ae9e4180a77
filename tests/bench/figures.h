/* SPDX-License-Identifier: ISC */
/*
 * What the benches in C share: medians, and the line that shows two of them
 * and their ratio.
 */
#ifndef TESTS_BENCH_FIGURES_H
#define TESTS_BENCH_FIGURES_H

#include <stddef.h>
#include <stdint.h>

/* Repeats of everything that is compared. */
#define REPEATS 20

/* Of COUNT times, in their unit (nanoseconds, say); sorts them. */
double figures_median(int64_t *times, size_t count);

/* Of REPEATS times in nanoseconds, in milliseconds; sorts them. */
double figures_median_ms(int64_t *ns);

/* "WHAT WHICH BARE 1.00 ms, OURS 1.05 ms: 1.05x" */
void figures_print_ratio(const char *what, const char *which, const char *bare,
    double bare_ms, const char *ours, double our_ms);

#endif
