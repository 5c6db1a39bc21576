/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_inside.h - what dns.c and dns_probe.c share; nobody else includes it.
 *
 *	dns.c         questions and answers, contexts, the thread
 *	dns_probe.c   whether signatures can be checked from here
 */
#ifndef CORE_NET_DNS_INSIDE_H
#define CORE_NET_DNS_INSIDE_H

#include <core/base/arena.h>
#include <core/net/dns_unbound.h>
#include <glib.h>
#include <pthread.h>

#define CLASS_IN 1
#define RCODE_OK 0

/* libunbound under one setting. Lives until its last question is answered. The thread's. */
struct dns_context {
	struct dns *dns;
	struct ub_ctx *ub;
	GList link; /* in dns->contexts */
	unsigned open;
	int64_t timeout;
	bool validates;
	/* dns_probe.c's: the question for the anchor's keys. */
	bool probed, probing;
	bool works; /* they came, validated */
	int probe;
	int64_t probe_deadline;
	struct dns_settings settings;
	struct arena arena; /* of the settings */
};

struct dns {
	pthread_t thread;
	int wake; /* eventfd */
	/*
	 * Of what follows, and of what requests and questions say of each other. Loops take it, so
	 * libunbound is never called under it: its first question reads files and starts a thread.
	 */
	pthread_mutex_t lock;
	struct dns_context *fresh; /* to be used from now on */
	bool ending;
	GQueue waiting;               /* requests that are not asked yet */
	struct dns_settings settings; /* the last that were configured, where `configured` */
	struct arena arena;           /* of these */
	bool configured;
	enum dns_validation validation;
	/* The thread's. */
	struct dns_context *current;
	struct dns_context
	    *trial;             /* whether validation works by now; NULL: it is not being tried */
	int64_t probe_again_ms; /* when it is, or the first question for the keys is repeated */
	GQueue contexts;        /* all */
	GQueue open;            /* questions, oldest first */
};

/* ---- dns.c ---- */
struct dns_context *dns_context_new(
    struct dns *dns, const struct dns_settings *settings, bool validates);
/* Its fds are waited for from now on. */
void dns_context_add(struct dns *dns, struct dns_context *context);

/* ---- dns_probe.c ---- */
/* It has become the current one: asks for its anchor's keys, where it has one. */
void dns_probe_begin(struct dns *dns);
/* Nobody is to be asked before that is answered. */
bool dns_probe_holds(const struct dns *dns);
/* Ends what takes too long, tries again where it is time. */
void dns_probe_go_on(struct dns *dns, int64_t now);
/* Milliseconds until it has something to do; -1: nothing. */
int dns_probe_wait(const struct dns *dns, int64_t now);

#endif
