/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backend_saslauthd.c - asks Cyrus' saslauthd, and by it PAM.
 *
 * Called by login.c on policy threads. The request is four counted strings, name, password, service
 * and realm, the answer one that begins with OK or NO; the count is two bytes, the high one first.
 * What saslauthd cannot find out it calls NO as well.
 */
#include "backend.h"
#include "peer.h"
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#define FIELD_MOST  255 /* saslauthd hangs up on more: nobody's password there is longer */
#define COUNT_BYTES 2
#define ANSWER_MOST 1024

struct request {
	uint8_t bytes[4 * (COUNT_BYTES + FIELD_MOST)];
	size_t len;
};

/* False where it is too long. */
static bool
add(struct request *request, struct pn_slice field)
{
	if (field.len > FIELD_MOST)
		return false;
	request->bytes[request->len++] = 0;
	request->bytes[request->len++] = (uint8_t)field.len;
	if (field.len > 0)
		memcpy(request->bytes + request->len, field.data, field.len);
	request->len += field.len;
	return true;
}

bool
saslauthd_domain(const char *domain, char ret[PN_ADDRESS_SIZE])
{
	char address[PN_ADDRESS_SIZE], canonical[PN_ADDRESS_SIZE];

	if (strchr(domain, '@') || strlen(domain) + sizeof("x@") > sizeof(address))
		return false;
	snprintf(address, sizeof(address), "x@%s", domain);
	if (!*domain || pn_address_canonical(address, canonical) < 0)
		return false;
	snprintf(ret, PN_ADDRESS_SIZE, "%s", canonical + 2);
	return true;
}

/*
 * PAM's users have no domain: without `saslauthd -r` the realm is heard by nobody there, and the
 * user info would be info@ whatever domain somebody writes.
 */
static bool
is_theirs(const struct auth_saslauthd *cfg, const char *user)
{
	const char *at = strrchr(user, '@');
	char domain[PN_ADDRESS_SIZE], ours[PN_ADDRESS_SIZE];

	if (!at || !saslauthd_domain(at + 1, domain))
		return false;
	for (size_t i = 0; i < cfg->domains.count; i++)
		if (saslauthd_domain(cfg->domains.items[i], ours) && strcmp(ours, domain) == 0)
			return true;
	return false;
}

/* Name and realm apart, as libsasl sends them; `saslauthd -r` puts them together again. */
static bool
compose(const struct attempt *attempt, struct request *ret)
{
	const char *user = attempt->said->user, *at = strrchr(user, '@');

	ret->len = 0;
	return add(ret, at ? pn_slice(user, (size_t)(at - user)) : pn_slice_of(user)) &&
	       add(ret, pn_slice_of(attempt->said->password)) &&
	       add(ret, pn_slice_of(attempt->cfg->saslauthd.service)) &&
	       add(ret, pn_slice_of(at ? at + 1 : ""));
}

static int
receive_all(struct peer *peer, uint8_t *bytes, size_t len, struct pn_error *err)
{
	for (size_t have = 0; have < len;) {
		int r = peer_receive(peer, bytes + have, len - have, err);

		if (r < 0)
			return r;
		have += (size_t)r;
	}
	return 0;
}

static int
read_answer(struct peer *peer, struct backend_answer *ret, struct pn_error *err)
{
	uint8_t count[COUNT_BYTES], text[ANSWER_MOST];
	size_t len;
	int r = receive_all(peer, count, sizeof(count), err);

	if (r < 0)
		return r;
	len = (size_t)count[0] << 8 | count[1];
	if (len < 2 || len > sizeof(text))
		return pn_error_set(err, -EBADMSG, "%s: an answer of %zu bytes", peer->path, len);
	r = receive_all(peer, text, len, err);
	if (r < 0)
		return r;
	if (memcmp(text, "OK", 2) == 0)
		return 1;
	ret->reason = "saslauthd says no";
	return memcmp(text, "NO", 2) == 0
		   ? 0
		   : pn_error_set(err, -EBADMSG, "%s: neither OK nor NO", peer->path);
}

int
backend_saslauthd(const struct attempt *attempt, struct backend_answer *ret, struct pn_error *err)
{
	const struct auth_saslauthd *cfg = &attempt->cfg->saslauthd;
	int64_t left = pn_time_left(attempt->call);
	struct request request;
	struct peer peer;
	int r;

	ret->reason = "an empty password, or a name or password too long for saslauthd";
	if (!*attempt->said->password || !compose(attempt, &request))
		return 0;
	ret->reason = "a name that is in none of saslauthd.domains";
	if (!is_theirs(cfg, attempt->said->user))
		return 0;
	r = peer_open(&peer, cfg->socket, left < cfg->timeout ? left : cfg->timeout, err);
	if (r == 0)
		r = peer_send(&peer, request.bytes, request.len, err);
	sodium_memzero(&request, sizeof(request));
	if (r == 0)
		r = read_answer(&peer, ret, err);
	peer_close(&peer);
	return r == 1 ? backend_yes(ret, pn_slice_of(attempt->said->user)) : r;
}
