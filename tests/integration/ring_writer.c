/* SPDX-License-Identifier: ISC */
#include "tests/integration/ring_writer.h"

#include <linux/bpf.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "bpf-progs/include/aegis/event.h"
#include "common/clock.h"
#include "common/msg.h"
#include "common/strnum.h"

#define EVENT_SIZE ((int)sizeof(struct aegis_event))
#define STACK_AT   (-EVENT_SIZE)

/* Where the counters lie in the array map; aegis_lost has but the first. */
enum { COUNT_UNTOLD, COUNT_MADE, COUNT_LOST, COUNTS };

static int
bpf_call(enum bpf_cmd cmd, union bpf_attr *attr)
{
	int r = (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));

	return r == -1 ? -errno : r;
}

static int
map_create(enum bpf_map_type type, uint32_t key, uint32_t value, uint32_t n)
{
	union bpf_attr attr = { .map_type = type,
		.key_size = key,
		.value_size = value,
		.map_flags = type == BPF_MAP_TYPE_ARRAY ? BPF_F_MMAPABLE : 0,
		.max_entries = n };

	return bpf_call(BPF_MAP_CREATE, &attr);
}

/* So much of its time is made up for, and no more. */
#define LATE_NS (100 * NSEC_PER_MSEC)

#define INSN(c, d, s, o, i)                                                    \
	((struct bpf_insn){ .code = (c),                                       \
	    .dst_reg = (d),                                                    \
	    .src_reg = (s),                                                    \
	    .off = (o),                                                        \
	    .imm = (i) })
#define MOV_REG(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define MOV_IMM(d, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD_IMM(d, i) INSN(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define CALL(f)       INSN(BPF_JMP | BPF_CALL, 0, 0, 0, f)
#define LD_MAP(d, fd)                                                          \
	INSN(BPF_LD | BPF_DW | BPF_IMM, d, BPF_PSEUDO_MAP_FD, 0, fd),          \
	    INSN(0, 0, 0, 0, 0)
#define STORE_IMM(o, i) INSN(BPF_ST | BPF_W | BPF_MEM, BPF_REG_10, 0, o, i)
#define STORE_REG(o, s) INSN(BPF_STX | BPF_DW | BPF_MEM, BPF_REG_10, s, o, 0)
/* r1 = *counter of KEY and the counter changed, in one */
#define COUNTER(fd, key, set, op)                                              \
	STORE_IMM(STACK_AT - 8, key), LD_MAP(BPF_REG_1, fd),                   \
	    MOV_REG(BPF_REG_2, BPF_REG_10), ADD_IMM(BPF_REG_2, STACK_AT - 8),  \
	    CALL(BPF_FUNC_map_lookup_elem),                                    \
	    INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 0, 0), set,          \
	    INSN(BPF_STX | BPF_DW | BPF_ATOMIC, BPF_REG_0, BPF_REG_1, 0, op)
#define COUNT(fd, key)                                                         \
	COUNTER(fd, key, MOV_IMM(BPF_REG_1, 1), BPF_ADD | BPF_FETCH)
#define TAKE(fd, key) COUNTER(fd, key, MOV_IMM(BPF_REG_1, 0), BPF_XCHG)

/*
 * The packet is the event; its "value" is replaced by a running number, its
 * time by now, and "lost" as aegis/report.h has it.  A tc program: test runs
 * of XDP stall.
 */
static int
prog_load(int ring_fd, int count_fd)
{
	const int value_at =
	    STACK_AT + (int)offsetof(struct aegis_event, value);
	const int time_at =
	    STACK_AT + (int)offsetof(struct aegis_event, time_ns);
	const int lost_at = STACK_AT + (int)offsetof(struct aegis_event, lost);
	struct bpf_insn insns[] = {
		MOV_REG(BPF_REG_6, BPF_REG_1),
		MOV_IMM(BPF_REG_2, 0),
		MOV_REG(BPF_REG_3, BPF_REG_10),
		ADD_IMM(BPF_REG_3, STACK_AT),
		MOV_IMM(BPF_REG_4, EVENT_SIZE),
		CALL(BPF_FUNC_skb_load_bytes),
		INSN(BPF_JMP | BPF_JNE | BPF_K, BPF_REG_0, 0, 0, 0),
		COUNT(count_fd, COUNT_MADE),
		STORE_REG(value_at, BPF_REG_1),
		CALL(BPF_FUNC_ktime_get_boot_ns),
		STORE_REG(time_at, BPF_REG_0),
		TAKE(count_fd, COUNT_UNTOLD),
		STORE_REG(lost_at, BPF_REG_1),
		MOV_REG(BPF_REG_7, BPF_REG_1),
		LD_MAP(BPF_REG_1, ring_fd),
		MOV_REG(BPF_REG_2, BPF_REG_10),
		ADD_IMM(BPF_REG_2, STACK_AT),
		MOV_IMM(BPF_REG_3, EVENT_SIZE),
		MOV_IMM(BPF_REG_4, 0),
		CALL(BPF_FUNC_ringbuf_output),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 0, 0),
		COUNT(count_fd, COUNT_LOST),
		/* what it did not get to tell, and itself */
		ADD_IMM(BPF_REG_7, 1),
		COUNTER(count_fd, COUNT_UNTOLD, MOV_REG(BPF_REG_1, BPF_REG_7),
		    BPF_ADD | BPF_FETCH),
		MOV_IMM(BPF_REG_0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	static char log[65536];
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_SCHED_CLS,
		.insns = (uintptr_t)insns,
		.insn_cnt = sizeof(insns) / sizeof(insns[0]),
		.license = (uintptr_t) "GPL",
		.log_buf = (uintptr_t)log,
		.log_size = sizeof(log),
		.log_level = 1,
	};
	size_t i, exit_at = attr.insn_cnt - 2;
	int r;

	/* All conditional jumps go to the end: the offsets are worked out
	 * here, so that nobody has to count instructions. */
	for (i = 0; i < attr.insn_cnt; i++) {
		if (BPF_CLASS(insns[i].code) == BPF_JMP &&
		    (BPF_OP(insns[i].code) == BPF_JEQ ||
			BPF_OP(insns[i].code) == BPF_JNE))
			insns[i].off = (int16_t)(exit_at - i - 1);
	}
	r = bpf_call(BPF_PROG_LOAD, &attr);
	if (r < 0)
		(void)fprintf(stderr, "%s\n", log);
	return r;
}

int
ring_writer_open(struct ring_writer *w, const char *artifact_id, uint32_t bytes)
{
	memset(w, 0, sizeof(*w));
	w->bytes = bytes;
	str_copy_cut(w->artifact_id, sizeof(w->artifact_id), artifact_id);
	w->ring_fd = map_create(BPF_MAP_TYPE_RINGBUF, 0, 0, bytes);
	if (w->ring_fd < 0)
		return w->ring_fd;
	w->count_fd = map_create(BPF_MAP_TYPE_ARRAY, 4, 8, COUNTS);
	if (w->count_fd < 0)
		return w->count_fd;
	w->prog_fd = prog_load(w->ring_fd, w->count_fd);
	return w->prog_fd < 0 ? w->prog_fd : 0;
}

int
ring_writer_announce(
    struct ring_writer *w, struct imsg_channel *ch, uint64_t id)
{
	struct msg_ring_add m = { .max_entries = w->bytes };
	struct msg_ring_lost lost = { 0 };
	int fd = dup(w->ring_fd), r;

	str_copy_cut(m.artifact_id, sizeof(m.artifact_id), w->artifact_id);
	str_copy_cut(m.name, sizeof(m.name), "ring_test");
	str_copy_cut(m.version, sizeof(m.version), "1.0.0");
	r = msg_send_RING_ADD(ch, id + 1, &m, fd);
	return r < 0 ? r
		     : msg_send_RING_LOST(ch, id + 1, &lost, dup(w->count_fd));
}

static int
run_program(const struct ring_writer *w, uint32_t repeat)
{
	struct aegis_event e = {
		.version = AEGIS_EVENT_VERSION,
		.kind = AEGIS_EVENT_NETWORK,
		.verdict = AEGIS_VERDICT_DROP,
		.family = 2,
		.cgroup_id = 4711,
		.pid = 1234,
		.tid = 1235,
		.uid = 1000,
		.gid = 1000,
		.sport = 40000,
		.dport = 443,
		.saddr = { 10, 0, 0, 1 },
		.daddr = { 192, 0, 2, 7 },
		.protocol = 6,
		.comm = "curl",
	};
	union bpf_attr attr = { 0 };
	char out[sizeof(e) + 64];

	attr.test.prog_fd = (uint32_t)w->prog_fd;
	attr.test.data_in = (uintptr_t)&e;
	attr.test.data_size_in = sizeof(e);
	attr.test.data_out = (uintptr_t)out;
	attr.test.data_size_out = sizeof(out);
	attr.test.repeat = repeat;
	return bpf_call(BPF_PROG_TEST_RUN, &attr);
}

static void *
writer_run(void *arg)
{
	struct ring_writer *w = arg;
	int64_t start = clock_boot_ns(), due, wait;
	uint64_t done = 0;
	uint32_t burst;
	struct timespec ts;

	while (done < w->want) {
		burst = w->rate == 0 ? 64 : (uint32_t)(w->rate / 1000) + 1;
		if (burst > w->want - done)
			burst = (uint32_t)(w->want - done);
		if (run_program(w, burst) < 0) {
			(void)fprintf(
			    stderr, "BPF_PROG_TEST_RUN: %s\n", strerror(errno));
			break;
		}
		done += burst;
		if (w->rate == 0)
			continue;
		due = start + (int64_t)((double)done / (double)w->rate * 1e9);
		wait = due - clock_boot_ns();
		if (wait <= 0) {
			/* Who was kept from it for long makes up for little. */
			if (wait < -LATE_NS)
				start -= wait + LATE_NS;
			continue;
		}
		ts.tv_sec = wait / NSEC_PER_SEC;
		ts.tv_nsec = wait % NSEC_PER_SEC;
		(void)nanosleep(&ts, NULL);
	}
	return NULL;
}

void
ring_writer_start(struct ring_writer *w, uint64_t count, uint64_t rate)
{
	sigset_t all, before;

	if (w->running)
		(void)pthread_join(w->thread, NULL);
	w->want = count;
	w->rate = rate;
	/*
	 * None of them in that thread: SIGCHLD, as telemd is stopped, would
	 * end a run amid its repetitions.
	 */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	w->running = pthread_create(&w->thread, NULL, writer_run, w) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static uint64_t
counter(const struct ring_writer *w, uint32_t key)
{
	uint64_t value = 0;
	union bpf_attr attr = { 0 };

	attr.map_fd = (uint32_t)w->count_fd;
	attr.key = (uintptr_t)&key;
	attr.value = (uintptr_t)&value;
	(void)bpf_call(BPF_MAP_LOOKUP_ELEM, &attr);
	return value;
}

uint64_t
ring_writer_written(const struct ring_writer *w)
{
	return counter(w, COUNT_MADE);
}

uint64_t
ring_writer_lost(const struct ring_writer *w)
{
	return counter(w, COUNT_LOST);
}

uint64_t
ring_writer_pending(const struct ring_writer *w)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const char *p =
	    mmap(NULL, 2 * page, PROT_READ, MAP_SHARED, w->ring_fd, 0);
	uint64_t pending;

	if (p == MAP_FAILED)
		return UINT64_MAX;
	pending = *(const volatile uint64_t *)(const void *)(p + page) -
	    *(const volatile uint64_t *)(const void *)p;
	(void)munmap((void *)(uintptr_t)p, 2 * page);
	return pending;
}

void
ring_writer_close(struct ring_writer *w)
{
	if (w->ring_fd <= 0)
		return;
	if (w->running)
		(void)pthread_join(w->thread, NULL);
	fd_close(&w->ring_fd);
	fd_close(&w->count_fd);
	fd_close(&w->prog_fd);
	memset(w, 0, sizeof(*w));
}
