/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ldap.h - look-ups in a directory server that block, with connections that are kept.
 *
 * Any thread that may block, never an event loop. What is asked and answered is as postern/ldap.h
 * says.
 */
#ifndef CORE_CLIENT_LDAP_H
#define CORE_CLIENT_LDAP_H

#include <core/base/buf.h>
#include <postern/ldap.h>

struct ldap_client; /* connections that wait for their next look-up */

int ldap_client_new(struct ldap_client **ret);
void ldap_client_free(struct ldap_client **client);

struct ldap_order {
	const struct pn_ldap_search *search;
	int64_t timeout_ms;
	bool (*stop)(const void *arg); /* asked a few times a second */
	const void *arg;
	/* Entries to a page (RFC 2696), and at most so many in all: max_entries is not looked at.
	 * 0: no pages. */
	uint32_t page;
	size_t most;
};

int ldap_client_search(struct ldap_client *client, const struct ldap_order *order, pn_ldap_fn *each,
    void *arg, struct pn_error *err);

/* ldap_bind.c: as pn_ldap_bind(); of the order, `search` has only its server. */
int ldap_client_bind(
    const struct ldap_order *order, const char *dn, struct pn_slice password, struct pn_error *err);

/*
 * ldap_filter.c: a name as all its spellings are written, to be freed; NULL: it is none. Values are
 * compared as if no attribute cared for case.
 */
char *ldap_dn_compared(const char *dn);

/* NULL if there can be such a server, or what is wrong with its address. */
const char *ldap_uri_fault(const char *uri);

/* ldap_filter.c: the filter with its values in it. -EINVAL: a value that is missing; -E2BIG. */
int ldap_filter_fill(const char *filter, const struct pn_slice *values, size_t count,
    struct buf *ret, struct pn_error *err);

#endif
