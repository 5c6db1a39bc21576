/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inside.h - what the files of this folder share; nobody else includes it.
 *
 *	sts.c     what is known of domains, who asks, overrides, life
 *	lookup.c  one domain: the database, the TXT record, the policy host, the database again
 *	fetch.c   the policy host
 *	counts.c  sessions counted
 */
#ifndef CORE_STS_INSIDE_H
#define CORE_STS_INSIDE_H

#include <core/sts/fetch.h>
#include <core/sts/sts.h>
#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>

struct sts_held {
	atomic_uint references;
	struct sts_policy policy;
	char *text; /* printed */
};

struct sts_lookup;

/* What is known of a domain. By the lock of all. */
struct sts_entry {
	GList link; /* in `order` */
	struct sts_held *policy;
	char id[STS_ID_SIZE];
	int64_t fetched_us, expires_us; /* wall time, of the policy */
	bool read;                      /* what the database keeps is here */
	enum sts_known known;           /* where there is no policy that holds */
	char why[STS_WHY_SIZE];
	int64_t fresh_ms;          /* monotonic: until then nobody is asked again */
	int64_t fetch_ms;          /* the policy host is not, after a failure */
	struct sts_lookup *lookup; /* under way */
	GQueue requests;           /* that wait for it */
	char domain[DNS_NAME_SIZE];
};

struct sts {
	struct sts_parts parts;
	struct jobs *fetchers;
	struct http_client *http;
	atomic_bool ending;
	atomic_ullong changes;
	pthread_mutex_t lock;
	/* By the lock. */
	GHashTable *entries;   /* domain -> struct sts_entry */
	GQueue order;          /* asked for last at the end */
	GHashTable *overrides; /* domain -> struct override */
	GPtrArray *due;        /* domains whose policy nobody has asked for a day */
	struct sts_settings settings;
	struct arena arena; /* of the settings */
	/* sts_tend()'s. */
	int64_t overrides_version; /* -1: not read yet */
	int64_t due_ms;
};

/* ---- sts.c ---- */
struct sts_held *sts_held_new(struct sts_policy *policy); /* takes what is in it */
struct sts_held *sts_hold(struct sts_held *held);
void sts_release(struct sts_held **held);
/* With the lock held: everybody who waits for the entry has this answer. */
void sts_answer_requests(struct sts *sts, struct sts_entry *entry);
/* With the lock held: one that has not expired. */
bool sts_entry_holds(const struct sts_entry *entry);

/* ---- lookup.c ---- */
/* With the lock held, by any thread: begins on the main loop. */
void sts_lookup_start(struct sts *sts, struct sts_entry *entry);
/* When neither threads nor loops run any more. */
void sts_lookup_free(struct sts_lookup *lookup);

#endif
