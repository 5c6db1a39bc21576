/* SPDX-License-Identifier: Apache-2.0 */
/* envelope.h - sender and recipients of a transaction, with their DSN parameters (RFC 3461). */
#ifndef CORE_MAIL_ENVELOPE_H
#define CORE_MAIL_ENVELOPE_H

#include <core/base/arena.h>
#include <core/mail/plan.h>

/* NOTIFY; 0 means that the client said nothing, which counts as FAILURE and, late, DELAY. */
#define MAIL_NOTIFY_NEVER   0x1u
#define MAIL_NOTIFY_SUCCESS 0x2u
#define MAIL_NOTIFY_FAILURE 0x4u
#define MAIL_NOTIFY_DELAY   0x8u

enum mail_ret { MAIL_RET_DEFAULT, MAIL_RET_FULL, MAIL_RET_HDRS };

struct mail_recipient {
	const char *address; /* as it will be used */
	const char
	    *original;     /* as the client gave it; the same pointer where nothing was rewritten */
	const char *orcpt; /* "rfc822;..." as received in xtext, or NULL */
	uint32_t notify;
	bool added; /* by policy: the client does not know of this one */
	/* what policy has said of this one before he had a plan; not in the spool */
	struct mail_want want;
	struct mail_demand demand;
	/* Of a message that goes on behind a hold: 1 + who he was in what was held; 0: nobody. */
	uint32_t before;
};

/* All strings live in the arena of whoever owns the envelope (a txn's or an item's). */
struct mail_envelope {
	const char *sender; /* "" for null */
	const char *original_sender;
	const char *envid; /* xtext as received, or NULL */
	const char *auth;  /* AUTH= parameter of MAIL, decoded, or NULL */
	/* By the server that the user has named for this address; NULL: by the routes. */
	const char *user_relay;
	enum mail_ret ret;
	size_t count, capacity;
	struct mail_recipient *recipients;
};

/* Appends, growing in the arena; strings are copied. Returns the new recipient. */
struct mail_recipient *mail_envelope_add(
    struct mail_envelope *envelope, struct arena *arena, const char *address);
/* Index, compared by canonical form, or -ENOENT. */
int mail_envelope_find(const struct mail_envelope *envelope, const char *address);
void mail_envelope_remove(struct mail_envelope *envelope, size_t index);
/* Deep copy into `arena`. */
void mail_envelope_copy(
    struct mail_envelope *ret, const struct mail_envelope *from, struct arena *arena);

#endif
