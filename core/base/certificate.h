/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate.h - what is known of a client by the certificate that it has shown and that was
 * verified: for the session, for policy, for the directory.
 */
#ifndef CORE_BASE_CERTIFICATE_H
#define CORE_BASE_CERTIFICATE_H

#include <core/base/arena.h>

#define CERTIFICATE_PRINT (2 * 32) /* hexadecimal digits of a SHA-256 */

struct certificate {
	const char *subject;     /* as RFC 4514 writes it; UTF-8 */
	const char *fingerprint; /* SHA-256 of all of it: CERTIFICATE_PRINT small digits */
	const char *key; /* the same of its SubjectPublicKeyInfo; NULL: not known any more */
	size_t address_count, name_count;
	const char *const *addresses; /* rfc822Name and SmtpUTF8Mailbox (RFC 9598) as they stand */
	const char *const *names;     /* dNSName */
};

/* NULL: NULL. */
const struct certificate *certificate_copy(struct arena *arena, const struct certificate *from);
/* "AB:CD:..." and "abcd...": 64 digits, colons between pairs or not. -EINVAL. */
int certificate_read_print(const char *text, char ret[CERTIFICATE_PRINT + 1]);

#endif
