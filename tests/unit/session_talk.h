/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_talk.h - conversations with a real server over a socket pair, for session.c.
 *
 * The loop is run by the test itself until what it waits for has come; the queue is a fake that
 * says what it is told to say.
 */
#ifndef TESTS_UNIT_SESSION_TALK_H
#define TESTS_UNIT_SESSION_TALK_H

#include <core/base/buf.h>
#include <core/smtp/server.h>
#include <postern/module.h>

struct talk;

/* A server with this configuration and one connection of `peer` ("192.0.2.7:1234") to `listener`.
 */
struct talk *talk_open(const char *yaml, const char *listener, const char *peer);
/* One more connection to the same server; the script goes on with it. */
void talk_connect(struct talk *talk, const char *listener, const char *peer);
/*
 * Lines, ended by NULL:
 *	"C text"  send the text with CRLF, and all that was kept
 *	"P text"  keep the text with CRLF: it leaves with the next C or R
 *	"R bytes" send the bytes as they are, and all that was kept
 *	"S text"  the next reply begins with this ("250 2.0.0 Ok"; lines joined by "; ")
 *	"T"       begin TLS
 *	"X"       the server closes, and said nothing more
 */
void talk_run(struct talk *talk, const char *const *script);
/* The whole text of the last reply, lines joined by "; ". */
const char *talk_reply(const struct talk *talk);
void talk_send(struct talk *talk, const void *bytes, size_t len);
/* The script forgets its connection, which stays open until talk_close(). */
void talk_leave(struct talk *talk);
/* The client is gone, at once. */
void talk_hang_up(struct talk *talk);
/* From now on each byte comes in a packet of its own. */
void talk_trickle(struct talk *talk);
/* Runs the loop until `what` is true. */
void talk_wait(struct talk *talk, bool (*what)(struct talk *talk));
/* A new configuration. */
void talk_configure(struct talk *talk, const char *yaml);
struct server *talk_server(struct talk *talk);
/* Number of read()s that brought replies. */
unsigned talk_reads(const struct talk *talk);
void talk_close(struct talk **talk);

/* What queue_accept() answers, and what it got. */
struct talk_queue {
	int r;
	bool at_once; /* within the call */
	bool never;   /* until talk_queue_answer() */
	unsigned items;
	struct buf bytes, sender, recipients; /* of the last item; recipients with ',' between */
};
extern struct talk_queue talk_queue;
void talk_queue_answer(struct talk *talk);

/* How many hooks of each stage ran, and on which thread. */
#define TALK_STAGES 16
extern unsigned talk_hooks[TALK_STAGES];
extern unsigned talk_hops; /* hooks that ran away from the loop */
/* Called inside every hook, on its thread; NULL: nothing. */
extern void (*talk_inside)(struct pn_call *call, struct pn_txn *txn);
struct jobs *talk_jobs(struct talk *talk);
struct loop *talk_loop(struct talk *talk);

#endif
