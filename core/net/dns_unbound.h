/* SPDX-License-Identifier: Apache-2.0 */
/* dns_unbound.h - libunbound by our settings, for dns.c alone. */
#ifndef CORE_NET_DNS_UNBOUND_H
#define CORE_NET_DNS_UNBOUND_H

#include <core/net/dns.h>
#include <unbound.h>

/* NULL: no memory. What it cannot set it logs. */
struct ub_ctx *dns_unbound_new(const struct dns_settings *settings, bool validates);
/* The owner of an anchor file's first record, "." for most. False: it has none. */
bool dns_anchor_owner(const char *path, char ret[DNS_NAME_SIZE]);

#endif
