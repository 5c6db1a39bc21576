/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sts.h - which MTA-STS policy a domain has now (RFC 8461): from memory, the database, or the
 * domain itself.
 *
 * One for the process. Looking takes a lock for a moment; asking is answered later on the asker's
 * loop, at the latest when the asker's patience ends. What is known stays until it expires,
 * whatever fails meanwhile.
 */
#ifndef CORE_STS_STS_H
#define CORE_STS_STS_H

#include <core/mail/sts.h>
#include <core/net/address.h>
#include <core/net/dns.h>
#include <core/net/jobs.h>
#include <core/sts/counts.h>

struct sts;

/* Copied by those who take it. */
struct sts_settings {
	bool enabled;
	const char *ca_file;    /* NULL: the system's */
	const char *connect_to; /* see fetch.h */
	size_t refused_count;
	const struct network *refused;
	int64_t timeout_ms;
};

struct sts_parts {
	struct loop *loop; /* where look-ups live: the main thread's */
	struct dns *dns;
	struct jobs *jobs; /* for the database */
	struct db *db;
	struct counts *counts; /* held */
};
int sts_new(const struct sts_parts *parts, struct sts **ret, struct pn_error *err);
/* From now on. On the main loop. */
void sts_configure(struct sts *sts, const struct sts_settings *settings);
/* Ends the threads that fetch. False: one has not come back within so long; nothing may be freed.
 */
bool sts_end(struct sts *sts, int64_t within_ms);
/* When neither the loops nor the DNS nor other threads run any more. */
void sts_free(struct sts **sts);
struct counts *sts_counts(struct sts *sts);

/*
 * What is done now and then on a thread that may block: counts are written, overrides read where
 * they have changed, and policies noted that nobody has asked for a day.
 */
void sts_tend(struct sts *sts);
/* Behind it, on the main loop: asks for these. */
void sts_refresh(struct sts *sts);

enum sts_known {
	STS_KNOWN_NONE,   /* the domain has none, it says */
	STS_KNOWN_POLICY, /* see the rest of the answer */
	STS_KNOWN_NOT,    /* that is not to be had now; `why` */
	STS_KNOWN_LATER,  /* nor can our own database say whether there is one: nothing may leave */
};

#define STS_WHY_SIZE 200

struct sts_held; /* a policy, counted by reference */
struct sts_answer {
	enum sts_known known;
	enum sts_mode mode;      /* that holds: the policy's, or the administrator's */
	bool overridden;         /* it is the administrator's */
	struct sts_held *policy; /* NULL: none is known, and an administrator wants one as if */
	char why[STS_WHY_SIZE];
};
void sts_answer_clear(struct sts_answer *answer);
struct sts_answer sts_answer_copy(const struct sts_answer *answer);
/* Policies are compared, not their copies. */
bool sts_answer_equal(const struct sts_answer *one, const struct sts_answer *other);
/* The host, canonical, may have the domain's mail as far as the policy goes. */
bool sts_answer_allows(const struct sts_answer *answer, const char *host);
/* NULL: none is known. */
const struct sts_policy *sts_answer_policy(const struct sts_answer *answer);
/* As it is written into counts; "" where none is known. */
const char *sts_answer_text(const struct sts_answer *answer);

/*
 * Any thread. True: that is how it is, and it is looked after in the background. False: it has to
 * be asked for; the answer is STS_KNOWN_NOT. `domain` is canonical, or a literal, which has none.
 */
bool sts_look(struct sts *sts, const char *domain, struct sts_answer *ret);
/* Grows whenever the answer for some domain may have become another. Any thread. */
uint64_t sts_changes(struct sts *sts);

struct sts_request;
/*
 * `done` is called on `loop`, never before this returns, within `within_ms`; what it is given is
 * its to clear.
 */
struct sts_request *sts_ask(struct sts *sts, struct loop *loop, const char *domain,
    int64_t within_ms, void (*done)(void *arg, struct sts_answer *answer), void *arg);
/* On its loop: `done` will not be called. */
void sts_cancel(struct sts_request **request);

#endif
