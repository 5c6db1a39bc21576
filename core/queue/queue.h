/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.h - the schedule of accepted mail. One queue per loop, touched by that loop's thread only.
 *
 * A message is sent from memory on the loop that received it; deferred ones give their bytes back
 * and are read from the spool when due.
 */
#ifndef CORE_QUEUE_QUEUE_H
#define CORE_QUEUE_QUEUE_H

#include <core/mail/letter.h>
#include <core/net/dns.h>
#include <core/net/jobs.h>
#include <core/net/resolve.h>
#include <core/queue/item.h>
#include <core/queue/route.h>
#include <core/queue/shaping.h>
#include <core/queue/spool.h>
#include <core/sts/sts.h>

struct queue;

struct queue_settings {
	const char *relay_name;
	int64_t retry_first_ms, retry_most_ms; /* doubling with jitter in between */
	int64_t give_up_ms;                    /* 5 d */
	uint32_t connections;                  /* to all next hops, of all loops; 0: any number */
	uint32_t connections_per_destination;
	uint32_t messages_per_connection;
	int64_t idle_connection_ms;
	int64_t connection_age_ms; /* 0: any */
	int64_t notice_after_ms;   /* delay notice (DSN); 0: 4 h */
	int64_t sts_wait_ms;       /* for a domain's MTA-STS policy; 0: 5 s */
};

/* One recipient's result, for PN_STAGE_OUTCOME. */
struct queue_outcome {
	const struct item *item;
	uint32_t index; /* of the recipient */
	struct pn_outcome result;
};

struct queue_parts {
	struct loop *loop;
	struct jobs *jobs;
	struct spool *spool;
	struct resolver *resolver;
	struct dns *dns; /* for MX routes; NULL: their mail is deferred */
	/* Held. What next hops may be asked for, over all queues; NULL: this one alone. */
	struct shaping *shaping;
	struct sts *sts; /* what domains demand of MX routes; NULL: nothing is heeded */
	/*
	 * Runs the committed hooks for a durable item; calls queue_effects_done() later, on the
	 * same loop. NULL where there are none. Also called for recovered items not yet done.
	 */
	void (*committed)(void *arg, struct queue *queue, struct item *item);
	/*
	 * What an attempt came to, for the outcome hooks; everything is copied before it returns.
	 * NULL where nobody listens.
	 */
	void (*outcome)(void *arg, const struct queue_outcome *outcomes, size_t count);
	/*
	 * TLS that these recipients' plans count on is not to be had (`why`: the reply that a
	 * failure would carry). Chooses again and calls queue_replanned() later on the same loop.
	 * The item, its bytes in memory, `indices` and `why` stay until then. Only for plans with
	 * an entry to go on from. NULL: they fail. Also for recipients of an item that was held by
	 * its chain (item->resume) and are released: then the rest of the chain is asked.
	 */
	void (*replan)(void *arg, struct queue *queue, struct item *item, const uint32_t *indices,
	    size_t count, const char *why);
	/*
	 * Seals what the queue has written, before it is accepted: new bytes take the
	 * place of report->bytes (size and has_eightbit with them), then `done`, on the same loop,
	 * at once or later. r < 0: not now, nothing was changed; the report is to be written again
	 * later. NULL: it goes as it is.
	 */
	void (*seal)(
	    void *arg, struct item *report, void (*done)(void *done_arg, int r), void *done_arg);
	void *arg;
};

int queue_new(const struct queue_parts *parts, struct queue **ret, struct pn_error *err);
/*
 * New settings (copied) and routes (held), for every attempt from now on. Once before anything is
 * accepted or restored.
 */
void queue_configure(
    struct queue *queue, const struct queue_settings *settings, struct routes *routes);
/*
 * No new attempts; calls `drained`, never before it returns, when those under way have ended and
 * connections are closed. What is accepted meanwhile becomes durable and waits.
 */
void queue_drain(struct queue *queue, void (*drained)(void *arg), void *arg);
/* After the drain, or when neither the loop nor the job threads run any more. */
void queue_free(struct queue **queue);

/*
 * Makes the item durable, answers, then delivers. The queue owns the item from the call on, also on
 * failure. `done` runs on this loop: r as spool_request.done; `item` is only for reading its id.
 */
typedef void queue_accepted_fn(void *arg, int r, const struct item *item);
void queue_accept(struct queue *queue, struct item *item, queue_accepted_fn *done, void *arg);
/*
 * What Postern says in its own words (its checks are letter_check()'s): sealed, then accepted as
 * above. Everything is copied. `done` may run within it where r < 0; -EAGAIN: no seal could be had.
 */
void queue_letter(
    struct queue *queue, const struct letter *letter, queue_accepted_fn *done, void *arg);
/* A recovered item: durable already. */
void queue_restore(struct queue *queue, struct item *item);
/* `ran`: hooks did run, which the spool has to remember. */
void queue_effects_done(struct queue *queue, struct item *item, bool ran);

/*
 * The end of a replan, with the `indices` it was asked for. `child` (owned from here on; NULL:
 * nobody is served) replaces the recipients that its `replaced` names, all in one record, and gets
 * its id, origin, `replaces` and time of acceptance here; the others of `indices`
 * fail with `unserved` (copied; NULL: with the `why` of the replan) as their reply, and are bounced
 * as any failure. -ENOMEM and the like (`r` < 0): nothing was decided; the recipients are tried
 * again later, and where TLS is still not to be had, policy is asked again. Where item->resume is
 * set: -ENOENT holds them again, for the reason `unserved`; and an `unserved` that is a 2xx reply
 * deletes them, telling nobody.
 */
void queue_replanned(struct queue *queue, struct item *item, const uint32_t *indices, size_t count,
    int r, struct item *child, const char *unserved);
/*
 * Every item that is in the queue when the walk begins and still is when it comes there, the newest
 * first. Hundreds of thousands may wait, so it goes in steps, and the loop does other work between
 * them. `each` may change the item by the functions below.
 */
struct queue_walk {
	struct queue *queue;
	struct queued *next;
	struct queue_walk *others;
};
void queue_walk_start(struct queue *queue, struct queue_walk *walk);
/* Some items, for about so long. False: that was the end, which also ends the walk. */
bool queue_walk_step(struct queue_walk *walk, int64_t most_us,
    void (*each)(void *arg, struct item *item), void *arg);
/* Before its end. */
void queue_walk_stop(struct queue_walk *walk);

/*
 * What an administrator asks for one recipient. All are marks in the spool; spool_sync() makes them
 * durable. Nothing is done about one who is final, or where policy chooses again for him.
 */
enum queue_change {
	QUEUE_CHANGED,
	QUEUE_UNCHANGED, /* it is so already, or makes no sense: a retry of one who is held */
	QUEUE_BUSY,      /* a letter to him is under way */
};
/* Copied. Somebody with a letter under way is held if it does not go through: QUEUE_CHANGED. */
enum queue_change queue_hold(
    struct queue *queue, struct item *item, uint32_t index, const struct item_hold *hold);
/* Due now. */
enum queue_change queue_release(struct queue *queue, struct item *item, uint32_t index);
enum queue_change queue_retry(struct queue *queue, struct item *item, uint32_t index);
/*
 * He fails. `bounce`: the sender is told, where the sender wants to be; until that report is
 * durable he is held, also over a restart. `who` did it, for log and report.
 */
enum queue_change queue_delete(
    struct queue *queue, struct item *item, uint32_t index, bool bounce, const char *who);
/* After changes of an item; it may be gone then, or have moved. */
void queue_changed(struct queue *queue, struct item *item);
/* For people: "waiting" (never tried), "deferred", "held", "sending", "replanning", "bouncing";
 * "delivered", "failed", "replanned" are final. */
const char *queue_state_name(const struct item_recipient *recipient);
/* Name of the route that he takes by the settings of now; NULL: none. */
const char *queue_route_name(const struct queue *queue, const struct item *item, uint32_t index);
/*
 * By what all queues of the relay find the next hop that he goes to; to be freed. NULL: he has
 * none.
 */
char *queue_way_key(const struct queue *queue, const struct item *item, uint32_t index);
/* How a next hop fares, as this queue sees it. Texts are good until its next turn. */
struct queue_way {
	const char *name;          /* as in the log */
	int64_t blocked_until_us;  /* left alone until then, wall time; 0: it is not */
	const char *reason;        /* its last failure, where it is blocked */
	uint32_t failures;         /* in a row */
	uint32_t connections;      /* of this queue */
	uint32_t connections_most; /* of all queues, to one host; 0: any number */
	uint32_t in_line;          /* deliveries that wait for a connection or a turn here */
	int64_t rate, rate_per_us; /* messages in so long; 0: any number */
	int64_t turn_us;           /* the rate lets the next one go then, wall time; 0: now */
};
/* False: nothing has gone there since the start, or for a minute. */
bool queue_way(struct queue *queue, const char *key, struct queue_way *ret);
/* One of the hosts that it is. */
struct queue_host {
	const char *name;          /* with port */
	char reason[COURIER_TEXT]; /* why it is left alone; "": it is not */
	int64_t blocked_until_us;  /* wall time; 0: it may be tried */
	int64_t reached_us;        /* its last session that came as far as letters; 0: none */
	int bits;                  /* of TLS there; -1: not known, or not looked for */
	uint32_t failures;         /* since then, in a row */
	uint32_t connections;      /* of this queue */
};
/* The first that are tried first. False: there are not so many. */
bool queue_way_host(struct queue *queue, const char *key, size_t index, struct queue_host *ret);

/*
 * Messages that wait and that are being sent; recipients that are held; recipients' results and
 * messages since the start.
 */
struct queue_figures {
	uint64_t waiting, sending, held, delivered, failed, deleted, deferred, replanned, accepted;
};
void queue_figures(const struct queue *queue, struct queue_figures *ret);

#endif
