/* SPDX-License-Identifier: Apache-2.0 */
/* ldap_inside.h - what the ldap_*.c share: one connection, with time that is bounded. */
#ifndef CORE_CLIENT_LDAP_INSIDE_H
#define CORE_CLIENT_LDAP_INSIDE_H

#include <core/client/ldap.h>
#include <ldap.h>
#include <sodium.h>

/* How long somebody waits, whatever for. */
struct ldap_patience {
	int64_t due_ms; /* monotonic */
	bool (*stop)(const void *arg);
	const void *arg;
};

/* Milliseconds that are left; -ETIMEDOUT, -ECANCELED. */
int64_t ldap_patience_left(const struct ldap_patience *patience);
/* An equal part of it for the next of `count` servers: one that is silent leaves the others theirs.
 */
struct ldap_patience ldap_patience_share(const struct ldap_patience *patience, size_t count);
/* Until the socket is ready for poll's `events`. 0, -ETIMEDOUT, -ECANCELED. */
int ldap_patience_wait(const struct ldap_patience *patience, int fd, short events);

struct ldap_connection {
	LDAP *handle; /* NULL: closed */
	struct ldap_patience patience;
	uint8_t settings[crypto_generichash_BYTES]; /* those that it was made by */
	int64_t used_ms;
};

/*
 * To one server, protected as the settings say, not logged in. On failure a code of libldap, with
 * `handle` NULL or only good for its diagnostic message; `patience` says whether time was up.
 */
int ldap_connection_open(struct ldap_connection *connection, const struct pn_ldap_server *server,
    const char *uri, const char **ret_doing);
/* The negative errno that stands for a code of libldap. */
int ldap_errno_of(int code);
void ldap_connection_close(struct ldap_connection *connection);

#endif
