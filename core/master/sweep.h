/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep.h - one command about waiting mail, carried out by every lane on its own loop.
 *
 * Each lane goes through its queue in steps of a few milliseconds, changes what matches, waits for
 * the spool to have it on disk, and then reads the state of what it touched back. Relay_queue.c
 * makes a sweep and turns its results into an answer.
 */
#ifndef CORE_MASTER_SWEEP_H
#define CORE_MASTER_SWEEP_H

#include <core/master/lane.h>
#include <core/queue/filter.h>
#include <glib.h>
#include <jansson.h>

/* Of each row of SHOW: what queue_way() is asked by, or null. Nobody is shown it. */
#define SWEEP_WAY "way"

enum sweep_verb {
	SWEEP_LIST,
	SWEEP_SHOW, /* the same, and more of each */
	SWEEP_HOLD,
	SWEEP_RELEASE,
	SWEEP_RETRY,
	SWEEP_DELETE,
};

/* What is asked; nobody changes it while lanes work. */
struct sweep_order {
	enum sweep_verb verb;
	struct filter *filter;
	size_t limit;             /* of messages that are told of */
	char after[ITEM_ID_SIZE]; /* only of those with greater ids */
	char *who, *reason;
	struct item_hold hold; /* with these two, for HOLD */
	bool bounce;           /* for DELETE */
};

struct sweep_result {
	uint64_t messages, recipients;     /* that match */
	uint64_t changed, unchanged, busy; /* recipients */
	bool more;                         /* messages than the limit */
	int r;                             /* of the sync */
	GTree *rows; /* item's id -> json array of its recipients as they stand now */
};

struct sweep {
	struct sweep_order order;
	struct loop *loop; /* where it was begun and ends */
	struct spool *spool;
	struct sweep_lane *lanes;
	size_t lane_count, due;
	_Atomic uint64_t seen, total; /* messages so far; messages in all lanes */
	struct sweep_result result;
	void (*done)(struct sweep *sweep); /* on `loop` */
	void *arg;
};

/* Owned by the caller, with the order, until sweep_free(). */
struct sweep *sweep_new(struct loop *loop, struct spool *spool);
/* Does it change anything? */
bool sweep_changes(const struct sweep *sweep);
void sweep_start(struct sweep *sweep, struct lane *const *lanes, size_t count);
void sweep_free(struct sweep **sweep);

#endif
