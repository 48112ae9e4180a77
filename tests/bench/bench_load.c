/* SPDX-License-Identifier: ISC */
/*
 * What bpfd costs above bare libbpf, for the same objects in one run:
 *
 *	bench_load BPFD KINDS_OBJECT CORE_OBJECT
 *
 * Medians of 20 repeats, taken in turn, so that a busy machine is busy for
 * both.  The loader's time is what it says of itself in LOAD_DONE: from the
 * first check of the plan until the last program is attached.  Beside it
 * stands the whole round, from sending the object to having the link: four
 * processes are woken one after the other for that, so on a busy machine it
 * measures the scheduler.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "fake_agentd.h"
#include "figures.h"

struct subject {
	const char *what;
	const char *program;
	const char *kind;   /* of attach.def */
	const char *target; /* both here are raw tracepoints */
	const char *path;
};

static int
quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return 0;
}

/* Load one program and attach it; then detach.  Nanoseconds of both. */
static void
bare(const struct subject *s, int64_t *load, int64_t *unload)
{
	int64_t start = clock_boot_ns();
	struct bpf_program *p;
	struct bpf_object *o;
	struct bpf_link *link;

	o = bpf_object__open_file(s->path, NULL);
	if (o == NULL)
		errx(1, "%s", s->path);
	bpf_object__for_each_program (p, o) {
		bpf_program__set_autoload(
		    p, strcmp(bpf_program__name(p), s->program) == 0);
	}
	if (bpf_object__load(o) < 0)
		errx(1, "%s: bare libbpf cannot load it", s->path);
	p = bpf_object__find_program_by_name(o, s->program);
	link = bpf_program__attach_raw_tracepoint(p, s->target);
	if (link == NULL)
		errx(1, "%s: cannot attach", s->program);
	*load = clock_boot_ns() - start;
	start = clock_boot_ns();
	(void)bpf_link__destroy(link);
	*unload = clock_boot_ns() - start;
	bpf_object__close(o);
}

/* The same by bpfd: *ROUND is *LOAD and all that is around it. */
static void
by_bpfd(const struct subject *s, int64_t *load, int64_t *round, int64_t *unload)
{
	struct fake_held *h = fake_get(1);
	int64_t start;
	char args[256];
	const char *wrong;

	(void)snprintf(args, sizeof(args), "attach=%s,%s,%s", s->program,
	    s->kind, s->target);
	wrong = fake_start(1, s->path, args);
	if (wrong == NULL)
		wrong = fake_await(&h->done);
	if (wrong != NULL || h->result.result != WORK_OK)
		errx(1, "bpfd: %s", wrong != NULL ? wrong : h->result.error);
	*round = clock_boot_ns() - h->sent_ns;
	*load = (int64_t)(h->result.load_us + h->result.attach_us) * 1000;
	start = clock_boot_ns();
	fd_close(&h->links[0]);
	*unload = clock_boot_ns() - start;
	fake_clear(h);
	/* Its answer says that it has forgotten: the next is not disturbed. */
	if (fake_forget(1) != NULL || fake_ping() != NULL)
		errx(1, "bpfd is gone");
}

static void
measure(const struct subject *s)
{
	int64_t bare_load[REPEATS], bare_unload[REPEATS];
	int64_t our_load[REPEATS], our_round[REPEATS], our_unload[REPEATS];
	double ms;
	int i;

	for (i = 0; i < REPEATS; i++) {
		bare(s, &bare_load[i], &bare_unload[i]);
		by_bpfd(s, &our_load[i], &our_round[i], &our_unload[i]);
	}
	ms = figures_median_ms(bare_load);
	figures_print_ratio(s->what, "load+attach:", "libbpf", ms, "agent",
	    figures_median_ms(our_load));
	figures_print_ratio(s->what, "  and messages:", "libbpf", ms, "agent",
	    figures_median_ms(our_round));
	figures_print_ratio(s->what, "detach:", "libbpf",
	    figures_median_ms(bare_unload), "agent",
	    figures_median_ms(our_unload));
}

int
main(int argc, char **argv)
{
	struct subject plain = { "without CO-RE", "k_RAW_TP", "raw_tp",
		"sched_switch", NULL };
	struct subject core = { "with CO-RE", "it_core", "raw_tp",
		"sched_switch", NULL };
	const char *wrong;

	if (argc != 4)
		errx(64, "usage: bench_load BPFD KINDS_OBJECT CORE_OBJECT");
	(void)libbpf_set_print(quiet);
	plain.path = argv[2];
	core.path = argv[3];
	fake()->quiet = true;
	wrong = fake_spawn(argv[1], "");
	if (wrong != NULL)
		errx(1, "bpfd: %s", wrong);
	measure(&plain);
	measure(&core);
	return 0;
}
