/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.h - mail addresses as they stand in an envelope (RFC 5321 section 4.1.2, RFC 6531).
 *
 * Pure functions, any thread.
 */
#ifndef CORE_MAIL_ADDRESS_H
#define CORE_MAIL_ADDRESS_H

#include <postern/base.h>

#define MAIL_LOCAL_MOST   64 /* octets, RFC 5321 section 4.5.3.1.1 */
#define MAIL_DOMAIN_MOST  255
#define MAIL_ADDRESS_MOST 320 /* local part, @, domain; without NUL */
#define MAIL_ADDRESS_SIZE (MAIL_ADDRESS_MOST + 1)

/*
 * Checks "local@domain" without brackets and writes it with the domain as the client gave it.
 * `utf8` allows non-ASCII (SMTPUTF8). Also accepts a domain literal, and "postmaster" alone in any
 * case. Quoted local parts are kept quoted, and may hold blanks but no angle brackets. -EINVAL,
 * -E2BIG (a part too long).
 */
int mail_address_check(struct pn_slice text, bool utf8, char ret[MAIL_ADDRESS_SIZE]);
/*
 * The canonical form that tables compare: domain in A-labels and lower case, local part as it is
 * but for quotes and escapes that it does not need, so that nobody is another by writing "ada"@x.
 * The null sender "" is its own form. -EINVAL, -E2BIG (A-labels may be longer than U-labels).
 */
int mail_address_canonical(const char *address, char ret[MAIL_ADDRESS_SIZE]);
/*
 * The form that whose address it is goes by: canonical, composed (NFC) and with its case folded; an
 * address again, and its own such form. -EINVAL, -E2BIG.
 */
int mail_address_compared(const char *address, char ret[MAIL_ADDRESS_SIZE]);
/* A domain alone, in the same form. */
int mail_domain_canonical(const char *domain, char ret[MAIL_DOMAIN_MOST + 1]);
/* Behind the last '@'; "" where there is none. Borrowed from `address`. */
const char *mail_address_domain(const char *address);
/* True if any byte is not ASCII. */
bool mail_address_is_utf8(const char *address);

#endif
