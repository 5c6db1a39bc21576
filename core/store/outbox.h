/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox.h - mail that Postern has made itself and that no relay has in its spool yet.
 *
 * Whoever has something to say puts it here, hooks and commands alike; a relay claims it, makes it
 * durable in its spool, and says so. What is claimed and not heard of again is anybody's after
 * OUTBOX_CLAIM_MS. Blocks; any thread.
 */
#ifndef CORE_STORE_OUTBOX_H
#define CORE_STORE_OUTBOX_H

#include <core/store/db.h>
#include <postern/mail.h>

#define OUTBOX_CLAIM_MS 10000
#define OUTBOX_KEPT_MS  (INT64_C(30) * 24 * 3600 * 1000) /* a key, after it was sent */

struct outbox_letter {
	int64_t number;
	int64_t written_us;      /* wall time */
	const char *owner, *key; /* key: "" where there is none */
	const char *sender;
	const char *const *recipients;
	size_t count;
	const char *subject, *text;
};

int outbox_migrate(struct db *db, struct pn_error *err);
/*
 * pn_mail_send() without what is said there of calls, but -EEXIST where there is one of that key
 * and owner. May be part of a transaction.
 */
int outbox_put(struct db *db, const char *owner, const struct pn_mail *mail, struct pn_error *err);
/* Whether there is any that could be claimed. Cheap: it is asked all the time. */
int outbox_waits(struct db *db, bool *ret, struct pn_error *err);
/*
 * The oldest, `most` of them, for the claimant of that name; each is valid until `each` returns.
 */
int outbox_claim(struct db *db, const char *claimant, int most,
    void (*each)(void *arg, const struct outbox_letter *letter), void *arg, struct pn_error *err);
/* It is in a spool. */
int outbox_sent(struct db *db, int64_t number, struct pn_error *err);
/* Drops keys that have been kept long enough. */
int outbox_forget(struct db *db, struct pn_error *err);

#endif
