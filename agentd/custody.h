/* SPDX-License-Identifier: ISC */
/*
 * Custody: the descriptors that agentd holds for an artifact.
 *
 * Links are what keeps a program attached; whoever closes the last one
 * detaches it.  So unloading is close(2), needs no privilege and no living
 * bpfd.  But closing an XDP link waits 8-16 ms for an RCU grace period:
 * closing is done by a thread that does nothing else, and its end comes back
 * as a call on the event loop.  Links to cgroups alone are closed at once.
 */
#ifndef AGENTD_CUSTODY_H
#define AGENTD_CUSTODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "common/limits.h"
#include "common/loadplan.h"
#include "common/memfd.h"
#include "common/tcfilter.h"

#include "agentd/probes.h"

struct closer;
struct event_base;

/* Of one artifact: its attachments, times the interfaces of patterns. */
#define CUSTODY_MAX_LINKS 1024

/* In the place of an ifindex: the processor that a perf event samples. */
#define CUSTODY_AT_CPU (UINT32_C(1) << 31)
enum link_state {
	LINK_HELD = 0, /* attached, as far as is known */
	LINK_WANTED,   /* bpfd is to be asked to attach it, */
	LINK_ASKED,    /* and was */
	LINK_CLOSING,  /* to be asked for once what it was is closed */
	LINK_LEFT,     /* not attached, and not tried again */
	LINK_RESTORED, /* bpfd was asked to give it its own program back */
};

/*
 * One attachment at one place.  An attachment to interfaces by pattern has as
 * many of these as there are interfaces; the others have one.
 */
struct custody_link {
	uint32_t attach;                   /* index in the plan's attachments */
	uint32_t ifindex;                  /* 0: not at an interface */
	char interface[AEGIS_IFNAME_SIZE]; /* its name; else "" */
	int fd;                            /* owned; -1: none (any more) */
	uint32_t link_id;
	/* Instead of a link: a tc filter, which bpfd must detach; its handle
	 * 0: none. */
	struct tc_filter filter;
	/* While another artifact takes the place of this one: which of that
	 * one's attachments takes this link over; UINT32_MAX: none. */
	uint32_t offered;
	/* Taken over: the attachment it was in the predecessor, to which it
	 * goes back if the load fails; UINT32_MAX: it is our own. */
	uint32_t taken_from;
	enum link_state state;
	unsigned int drifts; /* how often it was found detached, */
	const char *drift;   /* and how, until that is made good; static */
	bool reported;       /* that it could not be attached */
	/* Of the list of interfaces (follow.h) that was known when it came. */
	uint64_t generation;
};

struct custody {
	/* Sealed memfds; -1 where not there (yet). */
	int bytes;     /* the artifact, until it is verified */
	int object;    /* program.o */
	int plan;      /* the load plan, */
	int effective; /* the parameters in force, JSON */
	int verifier_log;
	struct memfd_map plan_map; /* mapped and checked: */
	struct loadplan loadplan;  /* header NULL: no plan */
	/* In the kernel; -1 where not. */
	int progs[LOADPLAN_MAX_PROGS];
	uint32_t prog_ids[LOADPLAN_MAX_PROGS];
	uint8_t prog_tags[LOADPLAN_MAX_PROGS][8];
	/* The kernel confirmed both, which cannot change (peer_links.c). */
	bool prog_confirmed[LOADPLAN_MAX_PROGS];
	int maps[LOADPLAN_MAX_MAPS];
	struct custody_link *links;
	struct probes *probes; /* while it is being loaded; or NULL */
	size_t link_count;
	/* While it is being loaded: links of a predecessor are to be its own,
	 */
	bool offered_links;
	bool links_lost; /* and went with that one meanwhile */
};

/* Never NULL: ends the process when there is no memory. */
struct custody *custody_new(void);

/* Takes PLAN; maps and checks it.  0 or -errno with *WHAT (static). */
int custody_set_plan(
    struct custody *c, int plan, const char **what) _must_check_;

/* Are all programs and maps of its plan in the kernel, attached or not? */
bool custody_is_kept(const struct custody *c);

/*
 * The map of OLD whose contents map INDEX of NEW shall keep: metadata lists
 * it under carry_maps and OLD has one of that name.  -1: none (borrowed).
 */
int custody_carried_map(
    const struct custody *new, uint32_t index, const struct custody *old);

/* Exchange object, plan and parameters; what is loaded stays where it is. */
void custody_exchange_files(struct custody *a, struct custody *b);

/* Close bytes, object, plan and parameters; what is loaded stays. */
void custody_release_files(struct custody *c);

/*
 * A new record; takes FD.  -EEXIST: this attachment has one there already,
 * -E2BIG: CUSTODY_MAX_LINKS.
 */
int custody_add_link(struct custody *c, uint32_t attach, uint32_t ifindex,
    const char *interface, int fd, uint32_t link_id) _must_check_;

/* Likewise for one that is attached by a filter. */
int custody_add_filter(struct custody *c, uint32_t attach,
    const char *interface, const struct tc_filter *filter) _must_check_;

/* Is it attached, by a link or a filter? */
bool custody_link_is_held(const struct custody_link *link);

/* NULL if there is none.  Valid until a link is added or removed. */
struct custody_link *custody_find_link(
    const struct custody *c, uint32_t attach, uint32_t ifindex);

/* Has every attachment of the plan a link? */
bool custody_is_complete(const struct custody *c);

/*
 * Choose the links of OLD that an attachment of NEW can take over: the same
 * kind and place, and flags that fit, updatable in place, each by one at most.
 * Marks them as offered and returns how many there are.
 */
unsigned int custody_match(const struct custody *new, struct custody *old);

/*
 * The link that OLD had offered to attachment ATTACH of NEW at IFINDEX runs
 * the new program: it changes hands.  0, or -EINVAL: none was offered there.
 */
int custody_take_over(struct custody *new, struct custody *old, uint32_t attach,
    uint32_t ifindex) _must_check_;

/* The record leaves C; what is in it is closed by the closer. */
void custody_drop_link(
    struct custody *c, struct custody_link *link, struct closer *closer);

/* OLD offers nothing any more: its successor did not come. */
void custody_withdraw(struct custody *old);

/* All that NEW has taken over from OLD goes back to it. */
void custody_give_back(struct custody *new, struct custody *old);

/* ---- the closer ---- */

/* All descriptors of a job are closed; COOKIE as given. */
typedef void (*closer_done)(uint64_t cookie, void *ctx);

/* Starts the thread: before the sandbox of the process closes. */
int closer_new(struct closer **out, struct event_base *base, closer_done done,
    void *ctx) _must_check_;
void closer_free(struct closer *closer);

/*
 * A filter has no descriptor to be closed: what is called in the place of it,
 * at once, with CTX of closer_new().  COOKIE: of the job it belongs to.
 */
typedef void (*closer_undo)(
    const struct tc_filter *filter, uint64_t cookie, void *ctx);
void closer_set_undo(struct closer *closer, closer_undo undo);

/*
 * Take everything that keeps the artifact in the kernel out of C and close
 * it: links first, so that it is detached before anything else goes.
 * COOKIE 0: nobody asks for the end.
 */
void closer_close(struct closer *closer, struct custody *c, uint64_t cookie);

/* Likewise the links alone: programs and maps are kept, to come back. */
void closer_detach(struct closer *closer, struct custody *c, uint64_t cookie);

/* One descriptor alone (takes it); -1 is ignored. */
void closer_close_fd(struct closer *closer, int fd);

/*
 * Likewise, where a worker sent it and nobody wants it: here and now if the
 * closer has enough to do, so that the worker waits and not those whose time
 * is over.
 */
void closer_close_unwanted(struct closer *closer, int fd);

/* What attaches LINK alone: descriptor or filter; it is not held then. */
void closer_close_link(struct closer *closer, struct custody_link *link);

/* Likewise its descriptor, with word of it when it is closed. */
void closer_close_link_first(
    struct closer *closer, struct custody_link *link, uint64_t cookie);

/* Release C wholly; what it holds in the kernel goes by the closer. */
void custody_free(struct custody *c, struct closer *closer);

#endif
