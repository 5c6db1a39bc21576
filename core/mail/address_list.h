/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address_list.h - the addresses that header fields such as To and Cc name (RFC 5322 section 3.4).
 *
 * Pure functions, any thread.
 */
#ifndef CORE_MAIL_ADDRESS_LIST_H
#define CORE_MAIL_ADDRESS_LIST_H

#include <core/mail/address.h>

typedef void mail_address_fn(void *arg, const char *address);
/*
 * Calls `each` with every address of a field's raw value, in canonical form. What is no address, or
 * could be read in two ways, is left out: whoever asks "does this header name him?" must rather
 * hear no.
 */
void mail_address_list(struct pn_slice value, mail_address_fn *each, void *arg);

#endif
