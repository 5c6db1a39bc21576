/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dsn.h - writes delivery status notifications (RFC 3464, 6522, 6533).
 *
 * Pure: facts in, bytes out. Whether one is due (RFC 3461) is the queue's to decide.
 */
#ifndef CORE_MAIL_DSN_H
#define CORE_MAIL_DSN_H

#include <core/mail/envelope.h>
#include <core/mail/message.h>
#include <core/mail/plan.h>

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED };

struct dsn_recipient {
	const struct mail_recipient *recipient;
	enum dsn_action action;
	const char *status;          /* "5.1.1" */
	const char *diagnostic;      /* the next hop's reply as it came, on one line, or NULL */
	const char *remote;          /* the next hop's name, or NULL */
	int64_t last_attempt_us;     /* 0: none */
	int64_t will_retry_until_us; /* delayed only */
	/* How it was protected, and why in no other way; NULL: nothing is said of it. */
	const struct mail_plan *plan;
	const char
	    *tls; /* of its delivery: "TLSv1.3 with ..., 256 bits", "none"; NULL: not known */
};
struct dsn_report {
	const char *relay_name, *id; /* of the new message */
	const char *about_id;        /* of the message reported on */
	int64_t wall_us, arrival_us;
	bool tls_optional;                    /* as what it is about: "TLS-Required: No" */
	const struct mail_envelope *envelope; /* To: is its sender */
	const struct dsn_recipient *recipients;
	size_t count;
	struct pn_slice original; /* whole message; headers alone are quoted unless RET=FULL */
	size_t quote_most;        /* above it, headers alone whatever RET says */
};
/* `*ret_utf8`: the report needs SMTPUTF8. */
int dsn_write(const struct dsn_report *report, struct mail_bytes **ret, bool *ret_utf8);

#endif
