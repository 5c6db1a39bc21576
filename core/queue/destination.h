/* SPDX-License-Identifier: Apache-2.0 */
/*
 * destination.h - what destination.c and connection.c share; nobody else includes it.
 */
#ifndef CORE_QUEUE_DESTINATION_H
#define CORE_QUEUE_DESTINATION_H

#include <core/queue/inside.h>
#include <core/queue/lineup.h>

/* Out of the configuration: its item in `destinations`, or relay.queue. */
struct destination_limits {
	struct shape_limits shape;
	uint32_t messages;     /* of one connection */
	int64_t idle, age;     /* ms */
	int64_t first, most;   /* of back-off, ms */
	enum config_slow slow; /* what is a failure */
	struct courier_limits timeouts;
};

struct destination {
	struct queue *queue;
	char *key;
	uint64_t generation;   /* of the queue's configuration that the next three are of */
	struct routes *routes; /* keeps `route` */
	const struct route *route;
	struct destination_limits limits;
	bool demanding; /* for the route's `demanded` */
	struct lineup lineup;
	uint32_t loading; /* taken off it while their bytes are read */
	uint32_t jobs;

	/* Connections, of smarthosts only. */
	struct shape *shape;
	struct shaping_waiter waiter; /* for a place among all connections */
	bool waits;
	GPtrArray *connections;
	GQueue idle;         /* of them */
	uint32_t connecting; /* of them */
	uint32_t window;     /* how many may be open: grows with what is delivered */

	/* Back-off. */
	uint32_t failures;  /* in a row */
	uint32_t shortages; /* of this machine, in a row */
	bool slowed;        /* the next hop answers, and asks for less */
	int64_t blocked_until_ms;
	int64_t turn_us;         /* no message before: the rate; monotonic */
	int64_t open_ms;         /* no new connection before: the rate, or a shortage */
	struct loop_timer again; /* pumps once more */
	char reason[COURIER_TEXT];
};

/* ---- destination.c ---- */
/* Sends what can be sent, opens what is needed for the rest. */
void destination_pump(struct destination *destination);
void destination_pump_in(struct destination *destination, int64_t ms);
bool destination_is_blocked(const struct destination *destination);
/* It is left alone for a while. */
void destination_back_off(struct destination *destination, const char *reason);

/* ---- convert.c ---- */
/* The letter as one of seven bits; then the delivery waits here again, or has failed. */
void conversion_start(struct delivery *delivery);

/* ---- connection.c ---- */
/* As many as there are deliveries for, within the limits. */
void connections_open(struct destination *destination);
/* There is one that the next letter could go out on. */
bool connections_have_idle(struct destination *destination);
/* On the first of these. */
void connections_send(struct destination *destination, struct delivery *delivery);
uint32_t connections_established(const struct destination *destination);
void connections_quit(struct destination *destination);
void connections_free(struct destination *destination);

#endif
