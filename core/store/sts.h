/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sts.h - what the database keeps of MTA-STS: policies that were fetched, and what an administrator
 * has put in their place for a while.
 *
 * A policy stays until it expires or another one comes: what could not be asked now never takes it
 * away. Blocks; any thread.
 */
#ifndef CORE_STORE_STS_H
#define CORE_STORE_STS_H

#include <core/base/arena.h>
#include <core/store/db.h>

#define STS_KEPT_MOST      10000 /* domains; those fetched longest ago give way */
#define STS_OVERRIDES_MOST 1000

struct sts_kept {
	const char *domain; /* canonical */
	const char *id;     /* of the TXT record when it was fetched */
	const char *policy; /* as sts_policy_print() writes it */
	int64_t fetched_us, expires_us;
};

int sts_migrate(struct db *db, struct pn_error *err);
/* In `arena`. -ENOENT: none is kept. */
int sts_find(struct db *db, const char *domain, struct arena *arena, struct sts_kept *ret,
    struct pn_error *err);
/* In the place of what was kept of that domain. */
int sts_keep(struct db *db, const struct sts_kept *kept, struct pn_error *err);
/*
 * Domains whose policy was neither fetched nor asked for here since `before_us`, and has not
 * expired; `most` of them, which count as asked for now.
 */
int sts_due(struct db *db, int64_t before_us, int64_t now_us, int most,
    void (*each)(void *arg, const char *domain), void *arg, struct pn_error *err);

struct sts_override {
	const char *domain;
	const char *mode; /* "none", "testing", "enforce" */
	int64_t until_us; /* wall time; after that it says nothing any more */
	const char *who;
};

/* Counts up with every change of the overrides. */
int sts_overrides_version(struct db *db, int64_t *ret, struct pn_error *err);
/* By domain, also those whose time is over. What `each` gets is good until it returns. */
int sts_overrides_each(struct db *db, void (*each)(void *arg, const struct sts_override *override),
    void *arg, struct pn_error *err);
/* Audited. -EDQUOT: there are too many. */
int sts_override_set(struct db *db, const struct sts_override *override, struct pn_error *err);
/* Audited. -ENOENT: there is none. */
int sts_override_remove(struct db *db, const char *domain, const char *who, struct pn_error *err);

#endif
