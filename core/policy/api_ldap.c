/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_ldap.c - look-ups in a directory server as modules may make them.
 *
 * Called by hooks on policy threads, by `start`, and by commands. Must never outlast its call.
 */
#include <core/client/clients.h>
#include <core/policy/call.h>
#include <errno.h>
#include <postern/module.h>

static bool
stop(const void *arg)
{
	return call_overdue(arg);
}

static int
usable(const struct pn_call *call, struct pn_error *err)
{
	if (!call->may_block)
		return pn_error_set(err, -EWOULDBLOCK, "LDAP is not for a quick hook");
	if (!call->entry->clients)
		return pn_error_set(err, -ENODEV, "no LDAP here");
	return call_overdue(call) ? pn_error_set(err, -ECANCELED, "the time of this call is up")
				  : 0;
}

int
pn_ldap_search(struct pn_call *call, const struct pn_ldap_search *search, pn_ldap_fn *each,
    void *arg, struct pn_error *err)
{
	int64_t left = pn_time_left(call);
	struct ldap_order order = { .search = search, .stop = stop, .arg = call };
	int r;

	if (search->size < sizeof(*search) || search->server_size < sizeof(struct pn_ldap_server))
		return pn_error_set(err, -EINVAL, "PN_LDAP_HEAD is missing");
	r = usable(call, err);
	if (r < 0)
		return r;
	order.timeout_ms = left < search->server->timeout ? left : search->server->timeout;
	return ldap_client_search(clients_ldap(call->entry->clients), &order, each, arg, err);
}

int
pn_ldap_bind_sized(struct pn_call *call, const struct pn_ldap_server *server, size_t size,
    const char *dn, struct pn_slice password, struct pn_error *err)
{
	const struct pn_ldap_search search = { PN_LDAP_HEAD, .server = server };
	int64_t left = pn_time_left(call);
	struct ldap_order order = { .search = &search, .stop = stop, .arg = call };
	int r;

	if (size < sizeof(*server) || !*dn || password.len == 0)
		return pn_error_set(err, -EINVAL, "a bind takes a name and a password");
	r = usable(call, err);
	if (r < 0)
		return r;
	order.timeout_ms = left < server->timeout ? left : server->timeout;
	return ldap_client_bind(&order, dn, password, err);
}

/* ---- the settings ---------------------------------------------------------------------------- */

void
pn_ldap_check_sized(
    struct pn_check *check, const char *path, const struct pn_ldap_server *server, size_t size)
{
	struct arena arena = { 0 };

	if (size < sizeof(*server))
		return;
	for (size_t i = 0; i < server->uris.count; i++) {
		const char *uri = server->uris.items[i], *fault = ldap_uri_fault(uri);
		const char *at = arena_printf(&arena, "%s.uris[%zu]", path, i);

		if (fault)
			pn_complain(check, at, "%s", fault);
		else if (strncmp(uri, "ldap://", 7) == 0 && !server->starttls &&
			 server->bind_password)
			pn_warn(check, at,
			    "the password goes there in clear; starttls or ldaps:// "
			    "would protect it");
	}
	/* RFC 4513 section 5.1.2: a name without a password is let in as nobody. */
	if (!server->bind_dn != !server->bind_password)
		pn_complain(check,
		    arena_printf(
			&arena, "%s.%s", path, server->bind_dn ? "bind_dn" : "bind_password"),
		    "bind_dn and bind_password go together");
	arena_free(&arena);
}
