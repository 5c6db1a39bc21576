/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hops.h - the hosts that one destination's mail may be sent to, in the order they are tried.
 *
 * Made of a route's list, or of what the DNS said of a domain; never changed but for how each host
 * has fared. Connections hold the list they were opened by. Belongs to one queue and its loop.
 */
#ifndef CORE_QUEUE_HOPS_H
#define CORE_QUEUE_HOPS_H

#include <core/queue/inside.h>

/* Out of the configuration: its item in `destinations`, or relay.queue. */
struct destination_limits {
	struct shape_limits shape;
	uint32_t messages;     /* of one connection */
	int64_t idle, age;     /* ms */
	int64_t first, most;   /* of back-off, ms */
	enum config_slow slow; /* what is a failure */
	struct courier_limits timeouts;
};

/*
 * Where connections that any destination could use meet those who have none: one for each key of a
 * queue's hops.
 */
struct meeting {
	char *key;
	unsigned references;
	uint32_t established; /* connections */
	GQueue idle;          /* of these */
	GQueue waiting;       /* destinations without a place for a connection */
};

struct hop {
	unsigned rank; /* the least is tried first, equal ones by chance */
	struct courier_target target;
	struct destination_limits limits;
	struct shape *shape;
	struct meeting *meeting;
	char *name;
	/* Since it was last reached. */
	uint32_t failures;
	int64_t blocked_until_ms;
	char *reason;       /* of the last failure; NULL: none */
	int64_t reached_ms; /* fit for letters, last; 0: never */
	int bits;           /* of TLS then; -1: not known, or not looked for */
	bool tried;         /* in vain, in this round through the list */
	bool unprotected;   /* that was why: TLS that is not verified, or REQUIRETLS not offered */
};

struct hops {
	struct queue *queue;
	unsigned references;
	struct arena arena;
	struct routes *routes; /* keep what targets borrow */
	int64_t expires_ms;    /* the DNS is asked again; INT64_MAX: never */
	bool validated;        /* its names: nobody in between could have put others there */
	bool partial;          /* of others there is no address for now */
	size_t count;
	struct hop *hops;
};

struct hops *hops_of_route(
    struct queue *queue, struct routes *routes, const struct route *route, enum route_need need);
/* Those of the list that are to be tried. */
struct hops *hops_of_list(struct queue *queue, struct routes *routes, const struct route *route,
    enum route_need need, const struct mx_list *list);
/* RFC 8689 section 4.2.1: are the names of its hosts to be relied upon? */
bool hops_list_is_validated(const struct mx_list *list);
struct hops *hops_hold(struct hops *hops);
void hops_release(struct hops **hops);
/* How hosts have fared that are in both. */
void hops_inherit(struct hops *hops, const struct hops *old);
/* The one to be tried now; NULL: all are left alone for a while. */
struct hop *hops_choose(const struct hops *hops);
/* Milliseconds until the first may be tried again, at least 1. There is one. */
int64_t hops_wait_ms(const struct hops *hops);
/* The one of that key; NULL: it is not in the list any more. */
struct hop *hops_find(const struct hops *hops, const struct meeting *meeting);
/* There is one that was not tried in this round. */
bool hops_have_untried(const struct hops *hops);
/* One was reached: the next round begins with all. */
void hops_begin_round(struct hops *hops);
/* It could not be reached, or not by the TLS that is needed. */
void hop_block(struct hops *hops, struct hop *hop, bool unprotected, const char *reason);
/* Its addresses did not answer at all, whoever asked: no domain has to find that out again. */
void hop_is_silent(struct hops *hops, const struct hop *hop, const char *reason);
/* A connection to it is fit for letters. */
void hop_reached(struct hops *hops, struct hop *hop, int bits);
/* Until when it is left alone, by this list or because nothing answers there; 0: it is not. */
int64_t hop_blocked_until(const struct hops *hops, const struct hop *hop, char *ret_reason);
/*
 * Nobody of the list is left who was neither tried in this round nor is known to be silent: until
 * when, and why (COURIER_TEXT). 0: there is one, or none is silent.
 */
int64_t hops_silent_until(const struct hops *hops, char *ret_reason);
/* None was left out for another reason. */
bool hops_are_unprotected(const struct hops *hops);
/* Their rates have forgotten what went there. */
bool hops_are_rested(const struct hops *hops);
/* All may be tried again; but for those who do not answer. */
void hops_unblock(struct hops *hops);
/* Those, too. */
void hops_unblock_silent(struct hops *hops);
struct destination_limits limits_of(
    const struct config_destination *own, const struct queue_settings *settings);

#endif
