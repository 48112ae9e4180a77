/* SPDX-License-Identifier: ISC */
/*
 * Where a loaded artifact should be attached, and whether it still is: what
 * follows from the plan, the links in custody, the host's interfaces and what
 * the kernel says of a link.
 *
 * An attachment to an interface means whatever has that name, or matches the
 * pattern, now: the outcome is that of loading it anew, whatever happened
 * before.  Functional core; peer_links.c acts.
 */
#ifndef AGENTD_FOLLOW_H
#define AGENTD_FOLLOW_H

#include <stdbool.h>

#include "agentd/custody.h"
#include "common/ifaces.h"

/* What agentd knows of the interfaces, and since when. */
struct follow {
	struct iface *list;
	size_t count;
	uint64_t generation; /* 0: nothing yet */
};

/* NULL if there is none of that index. */
const struct iface *follow_find(const struct follow *f, uint32_t ifindex);

enum follow_verdict {
	FOLLOW_STAYS,
	FOLLOW_ENDS, /* nothing that the attachment means is there any more */
};

/*
 * Is LINK where its attachment wants to be?  A link that is newer than the
 * list is not judged by it.  An interface's new name is noted in LINK.
 */
enum follow_verdict follow_judge(
    const struct follow *f, const struct custody *c, struct custody_link *link);

/*
 * The next place that an attachment means and where there is no link, after
 * *ATTACH and *AT (0, 0 at first), which say where to go on.  NULL: no more.
 */
const struct iface *follow_missing(const struct follow *f,
    const struct custody *c, uint32_t *attach, size_t *at);

/* What the kernel says of a link and of its program. */
struct link_seen {
	bool attached;
	uint32_t prog_id;
	uint32_t held_id; /* of the program in custody, */
	uint8_t tag[8];   /* and its tag */
};

enum drift {
	DRIFT_NONE,
	DRIFT_GONE,   /* with its interface or cgroup: nobody's doing */
	DRIFT_REPAIR, /* attach again */
	DRIFT_LEAVE,  /* report; somebody wants it so */
};

/*
 * What to do about a link that looks like SEEN; *WHAT says in words what is
 * wrong with it.  Counts in LINK.
 */
enum drift follow_drift(const struct follow *f, const struct custody *c,
    struct custody_link *link, const struct link_seen *seen, const char **what);

#endif
