/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - HTTP requests, for modules that ask or tell somebody else's service.
 *
 *	struct hook { struct pn_http_endpoint service; };
 *
 *	static const struct pn_option service_options[] = { PN_HTTP_OPTIONS, PN_OPT_END };
 *	static const struct pn_option hook_options[] = {
 *		PN_OPT_GROUP("service", struct hook, service, struct pn_http_endpoint,
 *		    service_options, PN_REQUIRED, "The service that is asked."),
 *		PN_OPT_END
 *	};
 *	...
 *	const struct pn_http_request request = {
 *		PN_HTTP_HEAD,
 *		.endpoint = &cfg->service,
 *		.body = pn_slice_of("{}"),
 *	};
 *	const struct pn_http_response *response;
 *	int r = pn_http(call, &request, &response, &err);
 *
 * Only http and https; the server's certificate is always verified; nobody is redirected anywhere;
 * proxies, cookies and passwords of the environment are not used. Connections are kept and used
 * again, for each entry apart.
 *
 * Threads and blocking: blocks, as long as the endpoint's `timeout` and pn_time_left() allow. A
 * PN_QUICK hook gets -EWOULDBLOCK. What comes back lives until the hook returns.
 */
#ifndef POSTERN_HTTP_H
#define POSTERN_HTTP_H

#include <postern/settings.h>

struct pn_call;

/* Where to ask, as settings: a group of the module's own table has these rows. */
struct pn_http_endpoint {
	const char *url;
	const char *unix_socket;
	const char *ca_file;
	struct pn_strings pins;
	const struct pn_secret *authorization;
	int64_t timeout;      /* ms */
	int64_t max_response; /* bytes */
};

#define PN_HTTP_OPTIONS \
	PN_OPT_STRING("url", struct pn_http_endpoint, url, NULL, PN_REQUIRED, \
	    "Address of the service, http:// or https://."), \
	    PN_OPT_STRING("unix_socket", struct pn_http_endpoint, unix_socket, NULL, PN_PATH, \
		"Connect to this unix socket; the url then only says what is asked for."), \
	    PN_OPT_STRING("ca_file", struct pn_http_endpoint, ca_file, NULL, PN_PATH, \
		"Certificates (PEM) that vouch for the service, instead of the system's."), \
	    PN_OPT_STRINGS("pins", struct pn_http_endpoint, pins, NULL, 0, \
		"Take only these public keys, each as sha256//BASE64 of its DER form."), \
	    PN_OPT_SECRET("authorization", struct pn_http_endpoint, authorization, 0, \
		"Value of the Authorization field, such as \"Bearer ...\"."), \
	    PN_OPT_DURATION("timeout", struct pn_http_endpoint, timeout, "10s", 10, 60000, 0, \
		"How long an answer may take."), \
	    PN_OPT_SIZE("max_response", struct pn_http_endpoint, max_response, "1m", 0, 67108864, \
		0, "A longer body of an answer is an error.")

/*
 * For a module's `check`: reports what is wrong with an endpoint under the path at which it stands
 * in the settings ("service").
 */
PN_PUBLIC void pn_http_check_sized(
    struct pn_check *check, const char *path, const struct pn_http_endpoint *endpoint, size_t size);
#define pn_http_check(check, path, endpoint) \
	pn_http_check_sized(check, path, endpoint, sizeof(struct pn_http_endpoint))

/* A field of the request: `value`, then the secret (each may be NULL). A row without name ends. */
struct pn_http_field {
	const char *name, *value;
	const struct pn_secret *secret;
};

/* Changes nothing over there: the request is made in a trial as well. */
#define PN_HTTP_LOOKUP 0x01u
/*
 * since ABI 6. A stranger has named the host: no connection is made to loopback, link-local,
 * private and reserved networks, whatever the DNS says (-ECONNREFUSED).
 */
#define PN_HTTP_PUBLIC 0x02u

struct pn_http_request {
	uint32_t size, endpoint_size; /* PN_HTTP_HEAD */
	uint32_t flags, reserved;
	const struct pn_http_endpoint *endpoint;
	const char *method; /* NULL: GET, or POST where there is a body */
	const char *path;   /* put behind the endpoint's url as it stands; NULL: nothing. -EINVAL:
			       changes the host */
	const struct pn_http_field *fields; /* NULL: none but the endpoint's authorization */
	struct pn_slice body;               /* `data` NULL: none */
};
#define PN_HTTP_HEAD \
	.size = sizeof(struct pn_http_request), .endpoint_size = sizeof(struct pn_http_endpoint)

struct pn_http_response;

/*
 * 0: there was an answer, whatever its status. Else, with the text in `err` (which may be NULL):
 * -EROFS in a trial, unless PN_HTTP_LOOKUP; -EINVAL: no request that can be made; -ETIMEDOUT;
 * -ECANCELED: the time of the call is up; -EHOSTUNREACH, -ECONNREFUSED; -EKEYREJECTED: not the
 * server that it should be; -E2BIG: larger than allowed; -EIO: anything else on the way.
 * Whether a request that ended in an error has been acted upon, nobody knows.
 */
PN_PUBLIC int pn_http(struct pn_call *call, const struct pn_http_request *request,
    const struct pn_http_response **ret, struct pn_error *err);

PN_PUBLIC int pn_http_status(const struct pn_http_response *response);
PN_PUBLIC struct pn_slice pn_http_body(const struct pn_http_response *response);
/* The first field of that name, in any case, without blanks around; false if there is none. */
PN_PUBLIC bool pn_http_field(
    const struct pn_http_response *response, const char *name, struct pn_slice *ret);

/* The bytes as a part of a path or query (RFC 3986 section 2.1); lives until the hook returns. */
PN_PUBLIC const char *pn_http_escape(struct pn_call *call, struct pn_slice bytes);

#endif
