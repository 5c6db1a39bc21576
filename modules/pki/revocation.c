/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocation.c - lists and responders are asked, and what they said is kept.
 *
 * Called while a certificate is judged. Must never take "cannot be asked now" for "good" unless the
 * settings say so, nor ask where an address came from nobody who is trusted.
 */
#include "revocation.h"
#include "revocation_answer.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#define KNOWN_MOST  1000u
#define BYTES_MOST  ((size_t)64 * 1024 * 1024)
#define LIST_MOST   (16 * 1024 * 1024)
#define ANSWER_MOST (64 * 1024)
#define TIMEOUT_MS  5000
#define FAILED_FOR  60 /* seconds */
#define FRESH_MOST  (6 * 3600)

/* What one address said; of a responder, of one certificate. */
struct known {
	GBytes *bytes; /* NULL: it could not be had */
	int64_t at, until;
	int64_t tried; /* the last time */
	char why[200];
};

struct revocations {
	GMutex lock;
	GHashTable *table; /* char * -> struct known * */
	size_t bytes;
};

static void
known_free(void *arg)
{
	struct known *known = arg;

	if (known->bytes)
		g_bytes_unref(known->bytes);
	g_free(known);
}

struct revocations *
revocations_new(void)
{
	struct revocations *ret = g_new0(struct revocations, 1);

	g_mutex_init(&ret->lock);
	ret->table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, known_free);
	return ret;
}

void
revocations_free(struct revocations *known)
{
	if (!known)
		return;
	g_hash_table_destroy(known->table);
	g_mutex_clear(&known->lock);
	g_free(known);
}

/* ---- what is known --------------------------------------------------------------------------- */

static size_t
size_of(const struct known *known)
{
	return known->bytes ? g_bytes_get_size(known->bytes) : 0;
}

static void
forget(struct revocations *all, const char *key)
{
	struct known *known = g_hash_table_lookup(all->table, key);

	if (!known)
		return;
	all->bytes -= size_of(known);
	g_hash_table_remove(all->table, key);
}

/* What ends first makes room. */
static void
make_room(struct revocations *all, size_t more)
{
	while (g_hash_table_size(all->table) > 0 &&
	       (g_hash_table_size(all->table) >= KNOWN_MOST || all->bytes + more > BYTES_MOST)) {
		const char *first = NULL;
		int64_t until = INT64_MAX;
		GHashTableIter iter;
		gpointer key, value;

		g_hash_table_iter_init(&iter, all->table);
		while (g_hash_table_iter_next(&iter, &key, &value))
			if (!first || ((struct known *)value)->until < until) {
				first = key;
				until = ((struct known *)value)->until;
			}
		forget(all, first);
	}
}

/* A failure does not drive out what still holds. */
static void
remember(struct revocations *all, const char *key, struct pn_slice bytes,
    const struct revocation_answer *answer, int64_t now)
{
	bool good = answer->status != REVOCATION_UNKNOWN;
	struct known *known;

	if (!all)
		return;
	g_mutex_lock(&all->lock);
	known = g_hash_table_lookup(all->table, key);
	if (!good && known && known->bytes && now < known->until) {
		known->tried = now;
		g_mutex_unlock(&all->lock);
		return;
	}
	forget(all, key);
	make_room(all, good ? bytes.len : 0);
	known = g_new0(struct known, 1);
	known->at = known->tried = now;
	known->until = good ? answer->until : now + FAILED_FOR;
	if (good)
		known->bytes = g_bytes_new(bytes.data, bytes.len);
	g_strlcpy(known->why, answer->why, sizeof(known->why));
	all->bytes += size_of(known);
	g_hash_table_insert(all->table, g_strdup(key), known);
	g_mutex_unlock(&all->lock);
}

/* Lists are made anew early when something was revoked: they are asked for before they end. */
static bool
is_stale(const struct known *known, int64_t now)
{
	int64_t half = (known->until - known->at) / 2;

	return known->bytes && now - known->tried >= FAILED_FOR &&
	       now - known->at >= (half < FRESH_MOST ? half : FRESH_MOST);
}

/*
 * `*ret_bytes` (g_bytes_unref): what holds; else NULL. True: nobody has to be asked now; where it
 * failed a moment ago, `why` says how.
 */
static bool
look_up(struct revocations *all, const char *key, int64_t now, GBytes **ret_bytes, char *why,
    size_t size)
{
	struct known *known;
	bool found;

	*ret_bytes = NULL;
	if (!all)
		return false;
	g_mutex_lock(&all->lock);
	known = g_hash_table_lookup(all->table, key);
	found = known && now < known->until;
	if (found && known->bytes)
		*ret_bytes = g_bytes_ref(known->bytes);
	else if (found)
		g_strlcpy(why, known->why, size);
	found = found && !is_stale(known, now);
	g_mutex_unlock(&all->lock);
	return found;
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct asking {
	struct pn_call *call;
	struct revocations *known; /* NULL: nothing is kept */
	X509 *certificate, *issuer;
	int64_t now;
};

static const struct pn_http_field ocsp_fields[] = {
	{ "Content-Type", "application/ocsp-request", NULL }, { NULL, NULL, NULL }
};

static int
fetch(const struct asking *asking, const char *url, struct pn_slice body, struct pn_slice *ret,
    struct revocation_answer *answer)
{
	const struct pn_http_endpoint endpoint = {
		.url = url,
		.timeout = TIMEOUT_MS,
		.max_response = body.len > 0 ? ANSWER_MOST : LIST_MOST,
	};
	const struct pn_http_request request = {
		PN_HTTP_HEAD,
		.flags = PN_HTTP_LOOKUP,
		.endpoint = &endpoint,
		.fields = body.len > 0 ? ocsp_fields : NULL,
		.body = body,
	};
	const struct pn_http_response *response;
	struct pn_error err = { 0 };
	int r = pn_http(asking->call, &request, &response, &err);

	if (r == 0 && pn_http_status(response) != 200)
		r = pn_error_set(&err, -EIO, "%.100s answers %d", url, pn_http_status(response));
	if (r < 0) {
		*answer = (struct revocation_answer){ .status = REVOCATION_UNKNOWN };
		g_strlcpy(answer->why, err.text, sizeof(answer->why));
		return r;
	}
	*ret = pn_http_body(response);
	return 0;
}

static void
read_bytes(
    const struct asking *asking, bool ocsp, struct pn_slice bytes, struct revocation_answer *ret)
{
	(ocsp ? ocsp_read : crl_read)(bytes, asking->certificate, asking->issuer, asking->now, ret);
}

static void
ask_anew(const struct asking *asking, bool ocsp, const char *url, const char *key,
    struct revocation_answer *ret)
{
	struct pn_slice bytes = { 0 }, body = { 0 };
	unsigned char *request = NULL;

	if (ocsp) {
		request = ocsp_request(asking->certificate, asking->issuer, &body.len);
		body.data = (const char *)request;
	}
	if (ocsp && !request)
		g_strlcpy(ret->why, "not enough memory", sizeof(ret->why));
	else if (fetch(asking, url, body, &bytes, ret) == 0)
		read_bytes(asking, ocsp, bytes, ret);
	OPENSSL_free(request);
	remember(asking->known, key, bytes, ret, asking->now);
}

/* A list is for all certificates of its issuer, an answer for one. */
static char *
key_of(const struct asking *asking, bool ocsp, const char *url)
{
	char print[CERTIFICATE_PRINT_SIZE], by[CERTIFICATE_PRINT_SIZE];

	certificate_fingerprint(asking->issuer, by);
	if (!ocsp)
		return g_strdup_printf("crl %s %s", by, url);
	certificate_fingerprint(asking->certificate, print);
	return g_strdup_printf("ocsp %s %s %s", print, by, url);
}

static void
ask_url(const struct asking *asking, bool ocsp, const char *url, struct revocation_answer *ret)
{
	char *key = key_of(asking, ocsp, url);
	GBytes *bytes;
	gsize len;

	if (!look_up(asking->known, key, asking->now, &bytes, ret->why, sizeof(ret->why)))
		ask_anew(asking, ocsp, url, key, ret);
	if (bytes && ret->status == REVOCATION_UNKNOWN) {
		const char *data = g_bytes_get_data(bytes, &len);

		read_bytes(asking, ocsp, pn_slice(data, len), ret);
	}
	if (bytes)
		g_bytes_unref(bytes);
	g_free(key);
}

/* The first that knows; NULL-ended. */
static bool
ask_urls(const struct asking *asking, bool ocsp, char **urls, struct revocation_answer *ret)
{
	bool any = urls[0] != NULL;

	for (int i = 0; urls[i] && ret->status == REVOCATION_UNKNOWN; i++)
		ask_url(asking, ocsp, urls[i], ret);
	g_strfreev(urls);
	return any;
}

/* Read again when it has changed. */
static void
ask_file(const struct asking *asking, const char *path, struct revocation_answer *ret)
{
	GBytes *bytes = NULL;
	struct stat info;
	char *key, *data;
	gsize len = 0;

	if (stat(path, &info) < 0 || info.st_size > LIST_MOST) {
		snprintf(ret->why, sizeof(ret->why), "%.120s cannot be read or is too large", path);
		return;
	}
	key = g_strdup_printf("file %s %lld.%ld %lld", path, (long long)info.st_mtim.tv_sec,
	    info.st_mtim.tv_nsec, (long long)info.st_size);
	if (look_up(asking->known, key, asking->now, &bytes, ret->why, sizeof(ret->why)) && bytes) {
		const char *known = g_bytes_get_data(bytes, &len);

		crl_read(
		    pn_slice(known, len), asking->certificate, asking->issuer, asking->now, ret);
		g_bytes_unref(bytes);
	} else if (g_file_get_contents(path, &data, &len, NULL)) {
		crl_read(
		    pn_slice(data, len), asking->certificate, asking->issuer, asking->now, ret);
		if (ret->status != REVOCATION_UNKNOWN)
			remember(asking->known, key, pn_slice(data, len), ret, asking->now);
		g_free(data);
	}
	g_free(key);
}

/* One certificate of the chain. */
static void
ask(const struct asking *asking, struct revocation_answer *ret)
{
	const struct pki *cfg = pn_settings(asking->call);
	bool named = false;

	*ret = (struct revocation_answer){ .status = REVOCATION_UNKNOWN };
	for (size_t i = 0; i < cfg->crl_files.count && ret->status == REVOCATION_UNKNOWN; i++)
		ask_file(asking, cfg->crl_files.items[i], ret);
	if (ret->status == REVOCATION_UNKNOWN && cfg->revocation & PKI_BY_OCSP)
		named |= ask_urls(asking, true, ocsp_urls(asking->certificate), ret);
	if (ret->status == REVOCATION_UNKNOWN && cfg->revocation & PKI_BY_CRL)
		named |= ask_urls(asking, false, crl_urls(asking->certificate), ret);
	if (ret->status == REVOCATION_UNKNOWN && !named && !*ret->why)
		g_strlcpy(ret->why, "it names nobody who could be asked", sizeof(ret->why));
}

static enum certificate_fault
unsure(struct pn_call *call, const char *reason, char *why, size_t size)
{
	const struct pki *cfg = pn_settings(call);

	if (!cfg->revocation_required) {
		pn_log(call, PN_LOG_INFO, "whether a certificate is revoked cannot be told: %s",
		    reason);
		return CERTIFICATE_GOOD;
	}
	g_strlcpy(why, reason, size);
	return CERTIFICATE_UNSURE;
}

/* The root vouches for itself; what is trusted without an issuer as well. */
static enum certificate_fault
ask_chain(void *arg, STACK_OF(X509) * chain, char *why, size_t size)
{
	struct pn_call *call = arg;
	const struct pki_state *state = pn_state(call);
	enum certificate_fault ret = CERTIFICATE_GOOD;

	for (int i = 0; ret == CERTIFICATE_GOOD && i + 1 < sk_X509_num(chain); i++) {
		struct asking asking = { call, state ? state->revocations : NULL,
			sk_X509_value(chain, i), sk_X509_value(chain, i + 1), time(NULL) };
		struct revocation_answer answer;

		ask(&asking, &answer);
		if (answer.status == REVOCATION_UNKNOWN)
			ret = unsure(call, answer.why, why, size);
		if (answer.status != REVOCATION_REVOKED)
			continue;
		snprintf(why, size, "%s%s%s", i > 0 ? "its authority's certificate" : "",
		    i > 0 && *answer.why ? ", " : "", answer.why);
		ret = CERTIFICATE_REVOKED;
	}
	return ret;
}

void
revocation_terms(struct pn_call *call, struct certificate_terms *terms)
{
	const struct pki *cfg = pn_settings(call);

	if (cfg->revocation == PKI_BY_NOTHING || !terms->trust)
		return;
	terms->revocation = ask_chain;
	terms->revocation_arg = call;
}
