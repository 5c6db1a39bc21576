/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_http.c - HTTP requests as modules may make them.
 *
 * Called by hooks on policy threads, by `start`, and by commands. Must never tell anybody anything
 * in a trial, nor outlast its call.
 */
#include <core/base/text.h>
#include <core/client/clients.h>
#include <core/config/relay.h>
#include <core/policy/call.h>
#include <errno.h>
#include <postern/module.h>

#define IN_CLEAR "http://"

static bool
stop(const void *arg)
{
	return call_overdue(arg);
}

static bool
is_public(const struct sockaddr *to, size_t len, const void *arg)
{
	struct address address;

	return address_from(to, &address) && !config_is_private(&address);
}

static int
usable(const struct pn_call *call, const struct pn_http_request *request, struct pn_error *err)
{
	if (request->size < sizeof(*request) ||
	    request->endpoint_size < sizeof(struct pn_http_endpoint))
		return pn_error_set(err, -EINVAL, "PN_HTTP_HEAD is missing");
	if (!call->may_block)
		return pn_error_set(err, -EWOULDBLOCK, "HTTP is not for a quick hook");
	if (!call->entry->clients)
		return pn_error_set(err, -ENODEV, "no HTTP here");
	if (generation_is_trial(call->generation) && !(request->flags & PN_HTTP_LOOKUP))
		return pn_error_set(err, -EROFS, "not asked in a trial");
	if (call_overdue(call))
		return pn_error_set(err, -ECANCELED, "the time of this call is up");
	return 0;
}

int
pn_http(struct pn_call *call, const struct pn_http_request *request,
    const struct pn_http_response **ret, struct pn_error *err)
{
	int64_t left = pn_time_left(call);
	struct http_order order = {
		.endpoint = request->endpoint,
		.method = request->method,
		.path = request->path,
		.fields = request->fields,
		.body = request->body,
		.stop = stop,
		.may_connect = request->flags & PN_HTTP_PUBLIC ? is_public : NULL,
		.arg = call,
	};
	struct pn_http_response *response;
	int r = usable(call, request, err);

	if (r < 0)
		return r;
	order.timeout_ms = left < request->endpoint->timeout ? left : request->endpoint->timeout;
	if (order.timeout_ms < 1)
		order.timeout_ms = 1; /* libcurl's 0 is for ever */
	response = arena_alloc(&call->arena, sizeof(*response));
	r = http_client_do(clients_http(call->entry->clients), &order, &call->arena, response, err);
	if (r < 0)
		return r;
	*ret = response;
	return 0;
}

/* ---- the response ---------------------------------------------------------------------------- */

int
pn_http_status(const struct pn_http_response *response)
{
	return response->status;
}

struct pn_slice
pn_http_body(const struct pn_http_response *response)
{
	return response->body;
}

static struct pn_slice
trimmed(const char *begin, const char *end)
{
	while (begin < end && (*begin == ' ' || *begin == '\t'))
		begin++;
	while (begin < end && memchr(" \t\r\n", end[-1], 4))
		end--;
	return pn_slice(begin, (size_t)(end - begin));
}

bool
pn_http_field(const struct pn_http_response *response, const char *name, struct pn_slice *ret)
{
	const char *at = response->head.data, *end = at + response->head.len, *next;

	for (; at < end; at = next) {
		const char *colon = memchr(at, ':', (size_t)(end - at));
		const char *line = memchr(at, '\n', (size_t)(end - at));

		next = line ? line + 1 : end;
		if (!colon || colon >= next || !text_is(pn_slice(at, (size_t)(colon - at)), name))
			continue;
		*ret = trimmed(colon + 1, next);
		return true;
	}
	return false;
}

const char *
pn_http_escape(struct pn_call *call, struct pn_slice bytes)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~";
	static const char digits[] = "0123456789ABCDEF";
	char *text = arena_alloc(&call->arena, bytes.len * 3 + 1), *at = text;

	for (size_t i = 0; i < bytes.len; i++) {
		unsigned char c = (unsigned char)bytes.data[i];

		if (memchr(plain, c, sizeof(plain) - 1)) {
			*at++ = (char)c;
		} else {
			*at++ = '%';
			*at++ = digits[c >> 4];
			*at++ = digits[c & 15];
		}
	}
	return text;
}

/* ---- the settings ---------------------------------------------------------------------------- */

void
pn_http_check_sized(
    struct pn_check *check, const char *path, const struct pn_http_endpoint *endpoint, size_t size)
{
	struct arena arena = { 0 };
	const char *fault;

	if (size < sizeof(*endpoint) || !endpoint->url)
		return; /* left out whole */
	fault = http_url_fault(endpoint->url);
	if (fault)
		pn_complain(check, arena_printf(&arena, "%s.url", path), "%s", fault);
	else if (endpoint->authorization && !endpoint->unix_socket &&
		 strncmp(endpoint->url, IN_CLEAR, strlen(IN_CLEAR)) == 0)
		pn_warn(check, arena_printf(&arena, "%s.url", path),
		    "the authorization goes there in clear; https:// would protect it");
	for (size_t i = 0; i < endpoint->pins.count; i++)
		if (!http_pin_valid(endpoint->pins.items[i]))
			pn_complain(check, arena_printf(&arena, "%s.pins[%zu]", path, i),
			    "is not sha256// and the 44 characters of a SHA-256 in base64");
	arena_free(&arena);
}
