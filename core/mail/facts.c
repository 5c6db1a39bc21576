/* SPDX-License-Identifier: Apache-2.0 */
/* facts.c - the protocol keyword of the trace header. */
#include <core/mail/facts.h>

const char *
mail_facts_protocol(const struct mail_facts *facts)
{
	static const char *const words[2][2][2] = { /* [SMTPUTF8][TLS][AUTH] */
		{ { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } },
		{ { "UTF8SMTP", "UTF8SMTPA" }, { "UTF8SMTPS", "UTF8SMTPSA" } }
	};

	if (!facts->esmtp) /* HELO: no keyword says more (RFC 3848) */
		return "SMTP";
	return words[facts->smtputf8][facts->tls_version != NULL][facts->user != NULL];
}
