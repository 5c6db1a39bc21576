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
 *
 * 0: every reader sees these addresses and no others. -EBADMSG: not so. Something was left out, or
 * stands where a sloppy reader takes it for an address: whoever asks "does it name nobody else?"
 * must rather hear that it does.
 */
int mail_address_list(struct pn_slice value, mail_address_fn *each, void *arg);

#endif
