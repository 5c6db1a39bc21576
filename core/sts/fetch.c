/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.c - asks policy hosts.
 *
 * Called on threads of core/sts/sts.c. Must never follow a redirection, take what is not of status
 * 200, or read without end: the host is a stranger's.
 */
#include <core/base/text.h>
#include <core/sts/fetch.h>
#include <errno.h>
#include <netinet/in.h>

#define NAME_MOST 253 /* of a host */
#define PREFIX    "mta-sts."

static bool
may_connect(const struct sockaddr *to, size_t len, const void *arg)
{
	const struct sts_fetching *fetching = arg;
	struct address address;

	if (fetching->connect_to)
		return true;
	if (!address_from(to, &address))
		return false;
	for (size_t i = 0; i < fetching->refused_count; i++)
		if (network_contains(&fetching->refused[i], &address))
			return false;
	return true;
}

static bool
stop(const void *arg)
{
	const struct sts_fetching *fetching = arg;

	return fetching->stop && fetching->stop(fetching->arg);
}

/* The type in the first Content-Type of a head; empty: there is none. */
static struct pn_slice
content_type(struct pn_slice head)
{
	static const char name[] = "content-type:";
	struct pn_slice line = { 0 };

	while (head.len > 0) {
		const char *end = memchr(head.data, '\n', head.len);
		size_t len = end ? (size_t)(end - head.data) : head.len;

		line = pn_slice(head.data, len);
		head = pn_slice(head.data + len + !!end, head.len - len - !!end);
		if (line.len < sizeof(name) - 1 ||
		    !text_is(pn_slice(line.data, sizeof(name) - 1), name))
			continue;
		line = pn_slice(line.data + sizeof(name) - 1, line.len - (sizeof(name) - 1));
		while (line.len > 0 && (*line.data == ' ' || *line.data == '\t'))
			line = pn_slice(line.data + 1, line.len - 1);
		for (len = 0; len < line.len && !strchr("; \t\r", line.data[len]); len++)
			;
		return pn_slice(line.data, len);
	}
	return pn_slice("", 0);
}

static int
read_answer(const struct pn_http_response *answer, const char *host, struct sts_policy *ret,
    struct pn_error *err)
{
	struct pn_slice type = content_type(answer->head);
	const char *why;

	if (answer->status != 200)
		return pn_error_set(err, -EIO, "%s: answers with status %d", host, answer->status);
	/* Who may put pictures on a server is not its administrator (section 3.2). */
	if (type.len > 0 && !text_is(type, "text/plain"))
		return pn_error_set(err, -EBADMSG, "%s: the policy is not text/plain", host);
	if (sts_policy_parse(answer->body, ret, &why) == 0)
		return 0;
	sts_policy_clear(ret);
	return pn_error_set(err, -EBADMSG, "%s: no policy: %s", host, why);
}

int
sts_fetch(const struct sts_fetching *fetching, const char *domain, struct sts_policy *ret,
    struct pn_error *err)
{
	struct arena arena = { 0 };
	struct pn_http_endpoint endpoint = { .ca_file = fetching->ca_file,
		.max_response = STS_FILE_MOST };
	struct http_order order = { .endpoint = &endpoint,
		.path = "/.well-known/mta-sts.txt",
		.timeout_ms = fetching->timeout_ms,
		.stop = stop,
		.arg = fetching,
		.connect_to = fetching->connect_to,
		.may_connect = may_connect };
	struct pn_http_response answer;
	int r;

	*ret = (struct sts_policy){ 0 };
	if (strlen(domain) + strlen(PREFIX) > NAME_MOST || *domain == '[')
		return pn_error_set(err, -EINVAL, "%.80s: has no policy host", domain);
	endpoint.url = arena_printf(&arena, "https://" PREFIX "%s", domain);
	r = http_client_do(fetching->client, &order, &arena, &answer, err);
	if (r == -E2BIG)
		r = -EBADMSG;
	if (r == 0)
		r = read_answer(&answer, endpoint.url, ret, err);
	arena_free(&arena);
	return r;
}

/* RFC 8460 section 4.3.2.2 */
const char *
sts_fetch_result(int r)
{
	return r == -EKEYREJECTED ? "sts-webpki-invalid"
	       : r == -EBADMSG    ? "sts-policy-invalid"
				  : "sts-policy-fetch-error";
}
