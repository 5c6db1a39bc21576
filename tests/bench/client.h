/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - one client session of the load generator, driven by load.c's loop.
 */
#ifndef TESTS_BENCH_CLIENT_H
#define TESTS_BENCH_CLIENT_H

#include "figures.h"
#include "tls13.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What to do, the same for all sessions; and what came of it. */
struct plan {
	struct sockaddr_in server;
	unsigned sessions, per_connection, recipients;
	unsigned domains; /* by turns d0., d1. ... below `domain`; 0: that alone */
	uint64_t messages;
	size_t size;
	double rate;      /* messages offered per second; 0: as fast as they are answered */
	double reconnect; /* seconds without any 250 to go on through failures; 0: not at all */
	bool starttls, pipelining, idle;
	const char *user, *password, *from, *domain, *tag;
	FILE *acked; /* ids that got their 250 */
	char *auth;  /* the AUTH command */
	char *message;
	size_t id_at[2]; /* where the number stands in `message` */

	int epoll;
	double start;
	uint64_t begun; /* numbers given out */
	unsigned in_flight, ended;
	struct figures figures;
};

enum client_step {
	STEP_NONE, /* no connection */
	STEP_GREETING,
	STEP_EHLO,
	STEP_STARTTLS,
	STEP_HANDSHAKE,
	STEP_AUTH,
	STEP_READY,
	STEP_ENVELOPE,
	STEP_BODY,
	STEP_QUIT,
};

#define CLIENT_INPUT 4096

struct client {
	struct plan *plan;
	int fd;
	enum client_step step;
	struct tls13 *tls; /* where the plan wants it; for all its connections */
	bool secure;       /* in TLS, or on the way into it */
	bool handshaken, offers_pipelining, offers_size, offers_starttls;
	bool busy;  /* a message is its own */
	bool waits; /* for its turn: the next intended time, or the end of a pause */
	uint32_t events;
	double pause_until, intended, body_sent;
	uint64_t number;
	unsigned sent_here;       /* messages on this connection */
	unsigned asked, answered; /* commands of the envelope */
	const char *out;
	size_t out_len, in_len;
	char *commands; /* room for an envelope */
	char *message;  /* its own copy, as its number is written into it */
	char in[CLIENT_INPUT];
};

/* Fills plan->message, plan->auth. */
int plan_prepare(struct plan *plan);
void plan_free(struct plan *plan);
/* When the next message is due; 0 when it is now, negative when there is none left. */
double plan_due(const struct plan *plan, double now);

int client_init(struct client *client, struct plan *plan);
/* Takes a message if one is due; otherwise waits or finishes. */
void client_next(struct client *client);
/* Connects without a message (idle sessions). */
void client_connect(struct client *client);
void client_on_event(struct client *client, uint32_t events);
/* Closes, frees. */
void client_free(struct client *client);

#endif
