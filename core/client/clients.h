/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.h - the connections that one entry of the pipeline keeps to services elsewhere.
 *
 * Shared by the generations in which that entry stands, as its state is. Any thread.
 */
#ifndef CORE_CLIENT_CLIENTS_H
#define CORE_CLIENT_CLIENTS_H

#include <core/client/http.h>
#include <core/client/ldap.h>

struct clients;

/* NULL: out of memory, or the libraries cannot be used here. */
struct clients *clients_new(void);
struct clients *clients_hold(struct clients *clients);
void clients_release(struct clients **clients);

struct http_client *clients_http(struct clients *clients);
struct ldap_client *clients_ldap(struct clients *clients);

#endif
