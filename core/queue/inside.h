/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inside.h - what the files of the queue share; nobody else includes it.
 *
 *	queue.c              items: accepted, restored, due, finished; the drain
 *	outcome.c            what an attempt's results mean for the recipients; marks
 *	attempt.c            log lines and outcome hooks for results
 *	change.c             what an administrator changes: held, released, due now, deleted
 *	replan.c             recipients whose plan counts on TLS that is not to be had
 *	notice.c             delivery status notifications for what failed or is late
 *	letter.c             mail that is about nobody's message
 *	load.c               bytes read back from the spool
 *	destination.c        deliveries waiting for a next hop, back-off
 *	destination_search.c which hosts that is, by the route or by the DNS
 *	destination_policy.c what a domain demands of TLS (MTA-STS)
 *	hops.c               lists of such hosts, their limits, and which one is tried
 *	connection.c         connections to next hops; _open.c: to which; _turns.c: who has to wait
 *	silence.c            which addresses do not answer, for all of them
 *	lineup.c             the order of deliveries to one next hop
 *	convert.c            letters made fit for a next hop of seven bits, few at a time
 *	transport_maildir.c  deliveries into maildirs, on the job threads
 *	way.c                how next hops fare, for people
 *	walk.c               all items in steps, for who asks
 *	steady.c             what time it is, though the clock be set
 *	schedule.c           the order in which items are due
 *
 * An item is freed when all recipients are final and nothing of it is under way: no delivery, no
 * notice, no replan, no committed hook. Everything runs on the queue's loop but the work of jobs.
 */
#ifndef CORE_QUEUE_INSIDE_H
#define CORE_QUEUE_INSIDE_H

#include <core/mail/dsn.h>
#include <core/queue/queue.h>
#include <core/queue/schedule.h>
#include <core/queue/shaping.h>
#include <glib.h>

/* Bytes of items that no courier has in hand; past it they are given back to the spool. */
#define QUEUE_RESIDENT_MOST ((size_t)64 * 1024 * 1024)

struct delivery;
struct load;
struct notice;
struct replan;

struct queue {
	struct queue_parts parts;
	struct queue_settings settings;
	char *relay_name;
	struct routes *routes;
	struct schedule schedule;
	struct loop_timer timer, drain_timer;
	int64_t clock_offset_us;  /* of the wall's clock to the steady one; 0: not looked yet */
	int64_t armed_us;         /* what `timer` is set to; INT64_MAX: nothing */
	GHashTable *destinations; /* by key */
	GHashTable *meetings;     /* hops.c's */
	uint64_t generation;      /* of settings and routes */
	struct shaping *shaping;
	struct shaping_member member;
	GQueue idle, connecting;      /* connections of all destinations, oldest first */
	struct loop_timer impatience; /* with those that others wait for */
	struct queued *items;         /* all of them */
	struct queue_figures figures; /* but for `waiting` */
	uint64_t count, accepting;    /* items; those not durable yet */
	size_t resident;              /* bytes of items in memory */
	uint32_t reading;             /* jobs that read from the spool */
	GQueue loads;                 /* those that wait for one to end */
	GQueue conversions;           /* destinations whose letters wait to be converted */
	size_t converting;            /* bytes of letters that are */
	uint64_t under_way; /* accepts, loads, connections, jobs: what a drain waits for */
	struct queue_walk *walks;
	void (*drained)(void *arg);
	void *drained_arg;
	bool draining;
};

/* One item in the queue. */
struct queued {
	struct schedule_entry entry; /* first: the schedule hands it back */
	struct queue *queue;
	struct item *item;
	struct queued *next, **link;
	struct load *load;
	struct notice *notice;      /* who is to be reported on, still growing */
	struct notice *notice_sent; /* the same, on its way to the spool */
	struct replan *replans;     /* under way */
	uint32_t deliveries;        /* not ended */
	uint32_t pins;              /* deliveries and replans that need item->bytes to stay */
	bool accepting, committing;
	bool changed; /* queue_changed() is due */
	bool grown;   /* its item takes more memory than it needs */
};

/* Some recipients of an item on their way to one destination. */
struct load_waiter {
	struct load_waiter *next;
	void (*loaded)(struct load_waiter *waiter, int r);
};
struct delivery {
	struct load_waiter waiter;
	struct queued *owner;
	struct destination *destination; /* NULL: none; `refusal` says why */
	const char *refusal;
	struct delivery *next;
	struct arena arena; /* the letter's */
	struct courier_letter letter;
	struct mail_bytes *converted; /* what the next hop can take; NULL: the item's */
	int priority;
	enum route_need need;
	bool pinned, retried;
	bool unasked;       /* no attempt: there was no turn for it */
	bool spared;        /* nor was the next hop troubled for it where it is left alone */
	uint32_t rendering; /* of its recipients' plans */
	uint32_t count;
	uint32_t *indices;
	struct courier_result results[];
};

/* ---- queue.c ---- */
/* Into the schedule, for the first recipient who waits. */
void queue_wait_for_due(struct queued *queued);
/* Something of the item has ended: finish it, report, or wait for what is due next. May free it. */
void queue_settle(struct queued *queued);
bool queue_is_due(const struct item_recipient *recipient, int64_t now);
/* As routes_find(). */
const struct route *queue_route(
    const struct queue *queue, const struct item *item, size_t index, const char **ret_refusal);
enum route_need queue_need(const struct item *item, size_t index);
void queue_set_bytes(struct queued *queued, struct mail_bytes *bytes);
void queue_drop_bytes(struct queued *queued);
/* The drain may be over. */
void queue_look_again(struct queue *queue);
/* Counts what a drain waits for. */
void queue_begin(struct queue *queue);
void queue_end(struct queue *queue);
/* The delivery needs the bytes in memory until it ends. */
void queue_pin(struct delivery *delivery);
void queue_unpin(struct delivery *delivery);

/* ---- steady.c ---- */
/* Wall time, for everything that has to do with items. Moves them along when the clock was set. */
int64_t queue_now(struct queue *queue);
/* The spool has written it; the offset is of when that began. */
void steady_accepted(struct queued *queued, int64_t offset_us);
/* Before a restored item is looked at. */
void steady_restored(struct queue *queue, struct item *item);

/* ---- outcome.c ---- */
/* All results are set: logs and marks them, frees the delivery, settles the item. */
void outcome_note(struct delivery *delivery);
/* All open results become this. */
void outcome_settle(struct delivery *delivery, enum courier_outcome outcome, const char *reply);
/* Frees it and leaves the item alone: the queue ends. */
void outcome_drop(struct delivery *delivery);
/* The attempt does not take place: recipients wait on as if nothing had been. */
void outcome_take_back(struct delivery *delivery);
/* When this recipient is tried again, wall time. */
int64_t outcome_next_due(
    struct queue *queue, const struct item *item, const struct item_recipient *recipient);
bool outcome_is_too_old(const struct queued *queued, int64_t now);

/* What results come from. */
struct attempt {
	struct queued *queued;
	const char *route, *remote; /* NULL: none */
	struct tls_facts tls;
	int64_t now;
	bool deleted;     /* no attempt: an administrator's word */
	GArray *outcomes; /* attempt.c's */
};
/*
 * The recipient has this reply, for good or for now. True: the state is to be marked; otherwise a
 * notice is under way and marks it. `status` NULL: read out of the reply. `previous_us`: when he
 * was tried before; `not_before_us`: the next hop is not to be troubled before.
 */
bool outcome_fail(struct attempt *attempt, uint32_t index, const char *reply, const char *status);
bool outcome_defer(struct attempt *attempt, uint32_t index, const char *reply, int64_t previous_us,
    int64_t not_before_us);

/* ---- attempt.c ---- */
/* Logs it and keeps it for the outcome hooks; his state and reply are those of the attempt. */
void attempt_tell(struct attempt *attempt, uint32_t index, enum pn_fate fate);
/* Hands to the hooks what was kept. */
void attempt_end(struct attempt *attempt);

/* He fails for good, and nobody is told. The state is to be marked. */
void outcome_delete(struct attempt *attempt, uint32_t index, const char *reply);

/* ---- change.c ---- */
/* When something is to be done for one who waits, wall time; INT64_MAX: never by itself. */
int64_t change_due(const struct item_recipient *recipient);
/* Deals with those who are held and whose time is up; they wait, fail, or are in a notice. */
void change_expire(struct queued *queued, int64_t now);
/* The item comes into the queue, or leaves it: those held are counted. */
void change_count(struct queued *queued);
void change_forget(struct queued *queued);
void change_end_hold(struct queued *queued, uint32_t index);
/* Policy cannot go on: he is held by the relay itself, for good. The state is to be marked. */
void change_hold_again(struct queued *queued, uint32_t index, const char *reason);
/* Takes those who were held meanwhile off a delivery that has not begun. False: it is gone. */
bool change_prune(struct delivery *delivery);

/* ---- replan.c ---- */
/* Who is due of an item whose chain was ended by a hold: it goes on for them. False:
 * nobody is. May end at once. */
bool replan_resume(struct queued *queued, int64_t now);
/* Is there anybody to choose again? */
bool replan_is_possible(const struct queued *queued, uint32_t index);
/* These are REPLANNING. May end at once. `why` is copied. */
void replan_start(
    const struct attempt *attempt, const uint32_t *indices, size_t count, const char *why);
void replan_free_all(struct queued *queued);

/* ---- notice.c ---- */
/* By what the client asked for (RFC 3461 section 4.1), and never for a null sender. */
bool notice_is_wanted(const struct item *item, uint32_t index, enum dsn_action action);
/*
 * Failed or delayed: the recipient stays as it is until the notice about it is durable. Delivered
 * or relayed: it is final already, since a second delivery would be worse than a lost notice.
 */
void notice_add(struct queued *queued, uint32_t index, enum dsn_action action, const char *status);
/* The same of what was delivered, over a connection with this TLS; NULL: over none. */
void notice_add_delivered(
    struct queued *queued, uint32_t index, enum dsn_action action, const struct tls_facts *tls);
void notice_send(struct queued *queued);
void notice_free(struct notice **notice);

/* ---- load.c ---- */
/* Reads item->bytes back, then calls the waiter; -ECANCELED when draining. */
void load_start(struct queued *queued, struct load_waiter *waiter);
void load_cancel_waiting(struct queue *queue);

/* ---- destination.c ---- */
/* `domain`: with MX, whose; else NULL. */
struct destination *destination_get(
    struct queue *queue, const struct route *route, enum route_need need, const char *domain);
/* Takes the delivery; its end is outcome_note() or outcome_take_back(), possibly at once. */
void destination_push(struct destination *destination, struct delivery *delivery);
void destination_drain(struct destination *destination);
bool destination_is_unused(const struct destination *destination);
void destination_free(struct destination *destination);
const char *destination_name(const struct destination *destination);
/* An administrator knows better: it may be troubled now. */
void destination_unblock(struct destination *destination);
/* Until when it is not to be troubled, wall time; 0: it may be. */
int64_t destination_blocked_us(const struct destination *destination);
/* A job of it has ended: the delivery has its results. */
void destination_job_ended(struct destination *destination, struct delivery *delivery);

/* ---- convert.c ---- */
/* What was converted for it is needed no more. */
void conversion_sent(struct delivery *delivery);

/* ---- connection.c ---- */
void connections_begin(struct queue *queue);
/* False: not yet, queue_look_again() will be called. True, or where the loop does not run: gone. */
bool connections_end(struct queue *queue);

/* ---- transport_maildir.c ---- */
void maildir_start(struct queue *queue, struct routes *routes, const struct route *route,
    struct delivery *delivery);

#endif
