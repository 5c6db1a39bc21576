/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain.h - the message of SASL PLAIN (RFC 4616).
 *
 * Read here and not by GNU SASL, which prepares every field by tables (RFC 3454) even where it is
 * plain ASCII: that costs more than all else that AUTH does for a remembered password.
 */
#ifndef MODULES_AUTH_PLAIN_H
#define MODULES_AUTH_PLAIN_H

#include <postern/base.h>

struct plain_message {
	struct pn_slice acts_for; /* the authorization identity; empty: none */
	struct pn_slice user, password;
};
/* Slices of `message`. -EINVAL: not three fields, no user, or not UTF-8. An empty password is one
 * that nobody has. */
int plain_read(struct pn_slice message, struct plain_message *ret);

#endif
