/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts.h - what is known of the session a message came in: for the trace header, for policy, for
 * the spool record.
 *
 * The strings belong to whoever filled the struct in (a session's or an item's arena).
 */
#ifndef CORE_MAIL_FACTS_H
#define CORE_MAIL_FACTS_H

#include <core/base/certificate.h>

struct mail_facts {
	const char *client_address; /* "192.0.2.7", "local" */
	const char *client_literal; /* "[IPv6:2001:db8::1]" */
	const char *listener;
	const char *helo;        /* "" before HELO */
	const char *user;        /* canonical, or NULL */
	const char *tls_version; /* NULL in clear */
	const char *tls_cipher;
	int32_t tls_bits;
	/* The client's, verified; NULL: none. The spool keeps subject and fingerprint of it. */
	const struct certificate *certificate;
	bool esmtp;    /* EHLO was said */
	bool smtputf8; /* the transaction asked for it (RFC 6531) */
	bool eightbit; /* BODY=8BITMIME */
	bool binary;   /* BODY=BINARYMIME */
	bool requiretls;
	/* "TLS-Required: No" (RFC 8689 section 3), where `requiretls` does not say the contrary. */
	bool tls_optional;
	/* Of a client at a unix socket, as the kernel says; else NULL. The pid is not in the spool.
	 */
	const char *client_uid, *client_pid;
	bool client_shared; /* of the session alone: the spool does not keep it */
};

/* RFC 3848, RFC 6531: "SMTP", "ESMTPSA", "UTF8SMTPS" ... */
const char *mail_facts_protocol(const struct mail_facts *facts);

#endif
