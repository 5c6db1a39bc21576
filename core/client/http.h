/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - HTTP requests that block, with connections that are kept.
 *
 * Any thread that may block, never an event loop. What is asked and answered is as postern/http.h
 * says.
 */
#ifndef CORE_CLIENT_HTTP_H
#define CORE_CLIENT_HTTP_H

#include <core/base/arena.h>
#include <postern/http.h>
#include <sys/socket.h>

struct http_client; /* connections that wait for their next request */

int http_client_new(struct http_client **ret);
void http_client_free(struct http_client **client);

struct http_order {
	const struct pn_http_endpoint *endpoint;
	const char *method, *path;
	const struct pn_http_field *fields;
	struct pn_slice body;
	int64_t timeout_ms;
	bool (*stop)(const void *arg); /* asked about once a second */
	const void *arg;
	/* "192.0.2.1:8443": connected to in the place of the host, which stays the name; NULL: none
	 */
	const char *connect_to;
	/* Is asked before each connection. NULL: any address. */
	bool (*may_connect)(const struct sockaddr *address, size_t len, const void *arg);
};

struct pn_http_response {
	int status;
	struct pn_slice head, body;
};

/* The response lives in the arena. */
int http_client_do(struct http_client *client, const struct http_order *order, struct arena *arena,
    struct pn_http_response *ret, struct pn_error *err);

/* NULL if such a url can be asked, or what is wrong with it. */
const char *http_url_fault(const char *url);
bool http_pin_valid(const char *pin);

#endif
