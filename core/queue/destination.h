/* SPDX-License-Identifier: Apache-2.0 */
/*
 * destination.h - what the files of destinations and connections share; nobody else includes it.
 *
 *	destination.c         deliveries that wait, back-off, life
 *	destination_search.c  which hosts the mail goes to: the route's, or those the DNS names
 *	destination_policy.c  what the domain demands of TLS there (MTA-STS)
 *	connection.c          connections: what becomes of them
 *	connection_open.c     which host one is opened to, or which one another has no need of
 *	connection_turns.c    who has to give a connection up for others
 */
#ifndef CORE_QUEUE_DESTINATION_H
#define CORE_QUEUE_DESTINATION_H

#include <core/queue/hops.h>
#include <core/queue/inside.h>
#include <core/queue/lineup.h>

struct destination {
	struct queue *queue;
	char *key, *name;      /* name: for logs */
	char *domain;          /* MX; else NULL */
	uint64_t generation;   /* of the queue's configuration that the next three are of */
	struct routes *routes; /* keeps `route` */
	const struct route *route;
	struct destination_limits limits; /* of the first host */
	enum route_need need;
	struct lineup lineup;
	uint32_t loading; /* taken off it while their bytes are read */
	uint32_t jobs;
	struct lineup unfit;   /* to be converted first */
	GList conversion_turn; /* in the queue's `conversions`, where `data` is set */
	uint32_t converting, converted;

	/* Connections, not of maildirs. */
	struct hops *hops;               /* NULL: not known yet */
	struct mx_search *search;        /* under way; or NULL */
	struct sts_request *sts_request; /* likewise */
	struct mx_list *found;           /* waits for that; or NULL */
	struct sts_answer sts;           /* what the domain demands, by which `hops` were made */
	uint64_t sts_seen;               /* sts_changes() then */
	struct shaping_waiter waiter;    /* for a place among all connections */
	struct meeting *waits;           /* for that; or NULL */
	GList waits_link;                /* there */
	GPtrArray *connections;
	GQueue idle;         /* of them */
	uint32_t connecting; /* of them */
	uint32_t window;     /* how many may be open: grows with what is delivered */

	/* Back-off. */
	uint32_t failures;    /* in a row */
	uint32_t shortages;   /* of this machine, in a row */
	bool silent;          /* it was not asked: others have found that it does not answer */
	uint32_t turned_away; /* in a row: somebody's own server wants nothing of the login */
	bool slowed;          /* the next hop answers, and asks for less */
	int64_t blocked_until_ms;
	int64_t turn_us;         /* no message before: the rate; monotonic */
	int64_t open_ms;         /* no new connection before: the rate, or a shortage */
	struct loop_timer again; /* pumps once more */
	char reason[COURIER_TEXT];
};

struct connection {
	GList link;    /* in the destination's `idle` */
	GList spare;   /* in its meeting's `idle` */
	GList turn;    /* in `turns` */
	GQueue *turns; /* of all destinations: the queue's `idle` or `connecting`, or NULL */
	struct courier *courier;
	struct destination *destination;
	struct hops *hops; /* keep the hop */
	struct hop *hop;
	struct delivery *delivery;
	int64_t opened_ms;
	bool idle, ready; /* in the list; greeted */
	bool good;        /* a letter went through with the connection whole */
	bool outdated;    /* the domain demands something else since: no further letter */
};

/* ---- destination.c ---- */
/* Sends what can be sent, opens what is needed for the rest. */
void destination_pump(struct destination *destination);
void destination_pump_in(struct destination *destination, int64_t ms);
bool destination_is_blocked(const struct destination *destination);
/* It is left alone for a while. */
void destination_back_off(struct destination *destination, const char *reason);
/* The same, because others have found that nothing answers at any of its hosts. */
void destination_leave_alone(struct destination *destination, int64_t until_ms, const char *reason);
/* Its bytes could not be read, for now or because the spool's copy is damaged: its end. */
void destination_cannot_load(struct delivery *delivery, int r);
/* Somebody's own server wants nothing of the login: who was tried often enough has failed. */
void destination_turn_away(struct destination *destination, const char *reason);
/* None of its hosts gives the TLS that its letters need: they have failed. */
void destination_refuse(struct destination *destination, const char *reason);
/* All that wait have this end. */
void destination_settle_all(
    struct destination *destination, enum courier_outcome outcome, const char *reply);

/* ---- destination_search.c ---- */
/* Its hosts are known and not too old. False: they will be, or there are none; it is pumped then.
 */
bool destination_has_hops(struct destination *destination);
/* After a reload. */
void destination_forget_hops(struct destination *destination);

/* What was found is used, now that the domain's demands are known. */
void destination_use_found(struct destination *destination);

/* ---- destination_policy.c ---- */
/* What the domain demands: known then, or asked for, and destination_use_found() is called. */
void destination_ask_policy(struct destination *destination);
void destination_drop_policy(struct destination *destination);
/* Before each letter: where the domain demands something else by now, its hosts are searched anew.
 */
void destination_heed_policy(struct destination *destination);
/* The domain's demands count for nothing here. */
bool destination_is_relaxed(const struct destination *destination);
/* Before its hosts are judged: which of them may be used, and how. */
void destination_apply_policy(struct destination *destination, struct mx_list *list);
/* Behind that: REQUIRETLS wants their names vouched for. */
void destination_judge_policy(const struct destination *destination, struct mx_list *list);
void destination_note_policy(struct destination *destination);
/* One session; `courier` NULL: none was tried. `fault`: of RFC 8460 section 4.3; NULL: none. */
void destination_count_tls(const struct destination *destination, const struct hop *hop,
    const char *host, const struct courier *courier, const char *fault);
/* One that has come as far as letters. */
void destination_count_session(
    const struct destination *destination, const struct hop *hop, const struct courier *courier);

/* ---- convert.c ---- */
/* The letter as one of seven bits, in its turn; then the delivery waits here again, or has failed.
 */
void conversion_start(struct delivery *delivery);
/* One whose turn has not come; NULL: there is none. */
struct delivery *conversion_take_back(struct destination *destination);

/* ---- connection.c ---- */
/* There is one that the next letter could go out on. */
bool connections_have_idle(struct destination *destination);
/* On the first of these. */
void connections_send(struct destination *destination, struct delivery *delivery);
uint32_t connections_established(const struct destination *destination);
void connections_quit(struct destination *destination);
void connections_free(struct destination *destination);
int connection_new(struct destination *destination, struct hop *hop);
void connection_set_idle(struct connection *connection, bool idle);
void connection_quit(struct connection *connection);

/* ---- connection_open.c ---- */
/* As many as there are deliveries for, within the limits. */
void connections_open(struct destination *destination);
/* One that another destination has no need of now, to a host of this one's. False: none. */
bool connections_adopt(struct destination *destination);
/* It has nothing to do: to a destination that waits for one like it. False: nobody does. */
bool connection_hand_over(struct connection *connection);
void connections_stop_waiting(struct destination *destination);

/* ---- connection_turns.c ---- */
void connection_set_turns(struct connection *connection, GQueue *turns);
/* Somebody waits for the place that a connection takes. */
bool connection_is_pressed(const struct connection *connection);

#endif
