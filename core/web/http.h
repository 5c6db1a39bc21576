/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - pages over HTTP in clear, by libmicrohttpd, on an event loop.
 *
 * For machines on this host and its own network that read: GET and HEAD, one request a connection,
 * a few connections at a time, each within HTTP_CONNECTION_MS. All calls belong to the loop's
 * thread; the library starts none.
 */
#ifndef CORE_WEB_HTTP_H
#define CORE_WEB_HTTP_H

#include <core/net/loop.h>

#define HTTP_CONNECTIONS_MOST 16u /* others wait in the kernel's backlog */
#define HTTP_CONNECTION_MS    10000

struct http;
struct http_request;

struct http_page {
	const char *path; /* "/metrics"; NULL ends a table */
	const char *type; /* Content-Type */
	/* Answers now or later by http_reply(). */
	void (*ask)(void *arg, struct http_request *request);
};

/* `fd` listens and stays the caller's; it may be shared with another process. */
int http_open(struct loop *loop, int fd, const struct http_page *pages, void *arg,
    struct http **ret, struct pn_error *err);
/* Takes the reference and `bytes`, of malloc. NULL: 500. The client may have gone. */
void http_reply(struct http_request *request, char *bytes, size_t len);
/* Takes no more connections and ends those that there are. */
void http_close(struct http **http);

#endif
