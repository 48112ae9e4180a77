/* SPDX-License-Identifier: ISC */
#include "figures.h"

#include <stdio.h>
#include <stdlib.h>

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

double
figures_median(int64_t *times, size_t count)
{
	qsort(times, count, sizeof(*times), compare);
	return (double)times[count / 2];
}

double
figures_median_ms(int64_t *ns)
{
	return figures_median(ns, REPEATS) / 1e6;
}

void
figures_print_ratio(const char *what, const char *which, const char *bare,
    double bare_ms, const char *ours, double our_ms)
{
	(void)printf("%-13s %-24s %s %7.3f ms, %s %7.3f ms: %.2fx\n", what,
	    which, bare, bare_ms, ours, our_ms, our_ms / bare_ms);
}
