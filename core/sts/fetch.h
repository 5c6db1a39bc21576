/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.h - an MTA-STS policy from the domain's policy host (RFC 8461 section 3.3). Blocks; any
 * thread that may.
 */
#ifndef CORE_STS_FETCH_H
#define CORE_STS_FETCH_H

#include <core/client/http.h>
#include <core/mail/sts.h>
#include <core/net/address.h>

struct sts_fetching {
	struct http_client *client;
	const char *ca_file; /* NULL: the system's */
	const char
	    *connect_to; /* "127.0.0.1:8443": where all policy hosts are; NULL: as the DNS says */
	size_t refused_count;
	const struct network *refused; /* nothing is connected to there, but for `connect_to` */
	int64_t timeout_ms;
	bool (*stop)(const void *arg); /* asked about once a second */
	const void *arg;
};

/*
 * 0 with a policy, which is to be cleared. Else, with the text in `err`, -EKEYREJECTED: the host's
 * certificate is not good; -EBADMSG: what it says is no policy; others: it did not answer as it has
 * to. `sts_fetch_result()` has RFC 8460's word for each.
 */
int sts_fetch(const struct sts_fetching *fetching, const char *domain, struct sts_policy *ret,
    struct pn_error *err);
const char *sts_fetch_result(int r);

#endif
