/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.c - one of each kind of client, counted by reference.
 *
 * Made and released with an entry by core/policy/entry.c.
 */
#include <core/client/clients.h>
#include <stdlib.h>

struct clients {
	uint32_t references; /* atomic */
	struct http_client *http;
	struct ldap_client *ldap;
};

struct clients *
clients_new(void)
{
	struct clients *clients = calloc(1, sizeof(*clients));

	if (!clients)
		return NULL;
	clients->references = 1;
	if (http_client_new(&clients->http) < 0 || ldap_client_new(&clients->ldap) < 0)
		clients_release(&clients);
	return clients;
}

struct clients *
clients_hold(struct clients *clients)
{
	__atomic_fetch_add(&clients->references, 1, __ATOMIC_RELAXED);
	return clients;
}

void
clients_release(struct clients **clients)
{
	struct clients *old = *clients;

	*clients = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	http_client_free(&old->http);
	ldap_client_free(&old->ldap);
	free(old);
}

struct http_client *
clients_http(struct clients *clients)
{
	return clients->http;
}

struct ldap_client *
clients_ldap(struct clients *clients)
{
	return clients->ldap;
}
