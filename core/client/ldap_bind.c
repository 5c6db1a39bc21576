/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ldap_bind.c - asks a directory server whether a password is right, by logging in with it.
 *
 * Called on policy threads. The connection is closed behind it: it is that user's then, and no
 * look-up of anybody else may go over it. Must never send an empty password.
 */
#include <core/base/clock.h>
#include <core/client/ldap_inside.h>
#include <errno.h>

#define SLICE_MS 200 /* how often a wait looks whether anybody still wants the answer */

/* What servers say of somebody who may not log in; RFC 4511 appendix A. */
static bool
is_refusal(int code)
{
	switch (code) {
	case LDAP_INVALID_CREDENTIALS:
	case LDAP_INAPPROPRIATE_AUTH: /* an entry without a password */
	case LDAP_NO_SUCH_OBJECT:
	case LDAP_INVALID_DN_SYNTAX:
	case LDAP_INSUFFICIENT_ACCESS:
	case LDAP_CONSTRAINT_VIOLATION: /* too many tries */
	case LDAP_UNWILLING_TO_PERFORM: /* an account that is locked */
		return true;
	default:
		return false;
	}
}

/* A code of libldap; LDAP_TIMEOUT also where nobody wants the answer any longer. */
static int
log_in(struct ldap_connection *connection, const char *dn, struct pn_slice password)
{
	struct berval secret = { password.len, (char *)(uintptr_t)password.data };
	LDAPMessage *message = NULL;
	int id, result = LDAP_SUCCESS, type = 0;
	int code = ldap_sasl_bind(
	    connection->handle, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, &id);

	while (code == LDAP_SUCCESS && type == 0) {
		int64_t left = ldap_patience_left(&connection->patience);
		struct timeval slice = { 0, (left < SLICE_MS ? left : SLICE_MS) * 1000 };

		if (left <= 0)
			return LDAP_TIMEOUT;
		type = ldap_result(connection->handle, id, LDAP_MSG_ONE, &slice, &message);
		if (type < 0)
			code = LDAP_SERVER_DOWN;
	}
	if (code != LDAP_SUCCESS)
		return code;
	code = ldap_parse_result(connection->handle, message, &result, NULL, NULL, NULL, NULL, 1);
	return code == LDAP_SUCCESS ? result : code;
}

static int
ask_one(const struct pn_ldap_server *server, const char *uri, const struct ldap_patience *patience,
    const char *dn, struct pn_slice password, struct pn_error *err)
{
	struct ldap_connection connection = { .patience = *patience };
	const char *doing;
	int code = ldap_connection_open(&connection, server, uri, &doing);
	bool open = code == LDAP_SUCCESS;
	int64_t left;

	if (open)
		code = log_in(&connection, dn, password);
	ldap_connection_close(&connection);
	left = ldap_patience_left(patience);
	if (code == LDAP_SUCCESS)
		return 0;
	if (open && is_refusal(code))
		return pn_error_set(err, -EACCES, "%s: %s", uri, ldap_err2string(code));
	if (left < 0)
		return pn_error_set(err, (int)left, "%s: no answer in time", uri);
	code = ldap_errno_of(code) == -EACCES ? LDAP_OTHER : code; /* the server's rules, not his */
	return pn_error_set(err, ldap_errno_of(code), "%s: %s: %s", uri,
	    open ? "logging in" : doing, ldap_err2string(code));
}

int
ldap_client_bind(
    const struct ldap_order *order, const char *dn, struct pn_slice password, struct pn_error *err)
{
	const struct pn_ldap_server *server = order->search->server;
	const struct ldap_patience patience = { clock_monotonic_ms() + order->timeout_ms,
		order->stop, order->arg };
	int r = -EINVAL;

	if (server->uris.count == 0)
		return pn_error_set(err, r, "no directory server is set");
	for (size_t i = 0; i < server->uris.count; i++) {
		struct ldap_patience share = ldap_patience_share(&patience, server->uris.count - i);

		r = ask_one(server, server->uris.items[i], &share, dn, password, err);
		if (r == 0 || r == -EACCES || r == -ECANCELED)
			return r;
	}
	return r;
}
