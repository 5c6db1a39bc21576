/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_counts.h - how many sessions with other domains' hosts had TLS as it should be, and why
 * others had not, by day (RFC 8460). The relay adds, posternctl reads. Blocks; any thread.
 */
#ifndef CORE_STORE_TLS_COUNTS_H
#define CORE_STORE_TLS_COUNTS_H

#include <core/store/db.h>

#define TLS_COUNTS_DAYS 30
#define TLS_COUNTS_MOST 200000 /* rows; past it only those that are there count on */

struct tls_count {
	int64_t day;         /* since 1970, UTC */
	const char *domain;  /* recipients'; canonical */
	const char *type;    /* "sts", "tlsa", "no-policy-found" */
	const char *result;  /* "": success; else of RFC 8460 section 4.3 */
	const char *host;    /* the mail exchanger; "": none was asked */
	const char *sent_by; /* address that was sent from; "": not known */
	const char *address; /* of the host; "": not known */
	int64_t number;
};

/* The policy that was in force, as the domain wrote it, in lines. */
struct tls_count_policy {
	int64_t day;
	const char *domain, *type, *text;
	const char *hosts; /* its mx patterns, in lines */
};

int tls_counts_migrate(struct db *db, struct pn_error *err);
/* All or none. `ret_dropped`: what had no room. */
int tls_counts_add(struct db *db, const struct tls_count *counts, size_t count,
    const struct tls_count_policy *policies, size_t policy_count, int64_t *ret_dropped,
    struct pn_error *err);
/* Drops days before this one. */
int tls_counts_forget(struct db *db, int64_t before_day, struct pn_error *err);
/* By domain, type, result, host. `domain` NULL: all. */
int tls_counts_each(struct db *db, int64_t day, const char *domain,
    int (*each)(void *arg, const struct tls_count *count), void *arg, struct pn_error *err);
int tls_counts_policy(struct db *db, int64_t day, const char *domain, const char *type,
    int (*each)(void *arg, const struct tls_count_policy *policy), void *arg, struct pn_error *err);

#endif
