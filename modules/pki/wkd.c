/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wkd.c - Web Key Directory: where it is, what it says, and what it said before.
 *
 * Called at selection, on a policy thread. Must never take "cannot be asked now" for "has no key",
 * follow a redirection, or ask anything but HTTPS.
 */
#include "wkd.h"
#include <errno.h>
#include <netdb.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/socket.h>

#define FOUND_S      21600 /* remembered for so long */
#define NONE_S       3600
#define UNSURE_S     60
#define ENTRIES_MOST 2048
#define BYTES_MOST   (256 * 1024)

/* ---- where ----------------------------------------------------------------------------------- */

/* The SHA-1 of the local part without capitals, in z-base-32 (section 3.1). */
static bool
hash_local(const char *local, size_t len, char ret[33])
{
	static const char digits[] = "ybndrfg8ejkmcpqxot1uwisza345h769";
	char *lower = g_ascii_strdown(local, (gssize)len);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int size = 0;
	bool ok = EVP_Digest(lower, strlen(lower), digest, &size, EVP_sha1(), NULL) == 1;

	g_free(lower);
	for (size_t i = 0; ok && i < 32; i++) {
		size_t bit = i * 5, at = bit / 8;
		unsigned two = (unsigned)digest[at] << 8 | (at + 1 < size ? digest[at + 1] : 0);

		ret[i] = digits[two >> (11 - bit % 8) & 31];
	}
	ret[32] = '\0';
	return ok;
}

bool
wkd_url(enum wkd_method method, const char *server, const char *address, GString *ret)
{
	const char *at = strrchr(address, '@'), *domain = at ? at + 1 : "";
	char hash[33], *escaped;

	if (!at || at == address || !*domain ||
	    strspn(domain, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(domain) ||
	    !hash_local(address, (size_t)(at - address), hash))
		return false;
	if (server)
		g_string_assign(ret, server);
	else
		g_string_printf(
		    ret, "https://%s%s", method == WKD_ADVANCED ? "openpgpkey." : "", domain);
	g_string_append(ret, "/.well-known/openpgpkey/");
	if (server || method == WKD_ADVANCED)
		g_string_append_printf(ret, "%s/", domain);
	escaped = g_strndup(address, (gsize)(at - address));
	g_string_append_printf(ret, "hu/%s?l=", hash);
	g_string_append_uri_escaped(ret, escaped, NULL, FALSE);
	g_free(escaped);
	return true;
}

/* 1: the host has an address; 0: it has none, as far as the DNS is asked; -EAGAIN: nobody knows. */
static int
has_address(const char *host)
{
	const struct addrinfo want = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int r = getaddrinfo(host, "443", &want, &found);

	if (r == 0)
		freeaddrinfo(found);
	if (r == 0)
		return 1;
	return r == EAI_NONAME || r == EAI_NODATA || r == EAI_ADDRFAMILY ? 0 : -EAGAIN;
}

/* ---- what was heard -------------------------------------------------------------------------- */

struct heard {
	int r;
	gint64 until_us;
	GBytes *material;
	char fingerprint[41], why[200];
};

struct wkd {
	GMutex lock;
	GHashTable *heard; /* address -> struct heard */
};

static void
heard_free(gpointer arg)
{
	struct heard *heard = arg;

	if (heard->material)
		g_bytes_unref(heard->material);
	g_free(heard);
}

struct wkd *
wkd_new(void)
{
	struct wkd *wkd = g_new0(struct wkd, 1);

	g_mutex_init(&wkd->lock);
	wkd->heard = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, heard_free);
	return wkd;
}

void
wkd_free(struct wkd *wkd)
{
	g_hash_table_destroy(wkd->heard);
	g_mutex_clear(&wkd->lock);
	g_free(wkd);
}

static gboolean
is_over(gpointer key, gpointer value, gpointer now)
{
	(void)key;
	return ((const struct heard *)value)->until_us < *(const gint64 *)now;
}

/* False: nothing is known. */
static bool
recall(struct wkd *wkd, const char *address, int *ret_r, struct wkd_found *ret)
{
	const struct heard *heard;
	bool known = false;

	g_mutex_lock(&wkd->lock);
	heard = g_hash_table_lookup(wkd->heard, address);
	if (heard && heard->until_us >= g_get_monotonic_time()) {
		known = true;
		*ret_r = heard->r;
		g_strlcpy(ret->fingerprint, heard->fingerprint, sizeof(ret->fingerprint));
		g_strlcpy(ret->why, heard->why, sizeof(ret->why));
		if (heard->material) {
			gsize len;
			const void *bytes = g_bytes_get_data(heard->material, &len);

			memcpy(ret->room, bytes, len);
			ret->material = pn_slice(ret->room, len);
		}
	}
	g_mutex_unlock(&wkd->lock);
	return known;
}

static void
remember(struct wkd *wkd, const char *address, int r, const struct wkd_found *found)
{
	struct heard *heard = g_new0(struct heard, 1);
	gint64 now = g_get_monotonic_time();
	gint64 seconds = r > 0 ? FOUND_S : r == 0 ? NONE_S : UNSURE_S;
	GHashTableIter iter;

	heard->r = r;
	heard->until_us = now + seconds * G_USEC_PER_SEC;
	if (found->material.len > 0)
		heard->material = g_bytes_new(found->material.data, found->material.len);
	g_strlcpy(heard->fingerprint, found->fingerprint, sizeof(heard->fingerprint));
	g_strlcpy(heard->why, found->why, sizeof(heard->why));
	g_mutex_lock(&wkd->lock);
	if (g_hash_table_size(wkd->heard) >= ENTRIES_MOST)
		g_hash_table_foreach_remove(wkd->heard, is_over, &now);
	g_hash_table_iter_init(&iter, wkd->heard);
	if (g_hash_table_size(wkd->heard) >= ENTRIES_MOST &&
	    g_hash_table_iter_next(&iter, NULL, NULL))
		g_hash_table_iter_remove(&iter); /* any: it can be asked for again */
	g_hash_table_replace(wkd->heard, g_strdup(address), heard);
	g_mutex_unlock(&wkd->lock);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static int
take_keys(struct pn_call *call, struct pn_slice bytes, const char *address, struct wkd_found *ret)
{
	const struct pn_openpgp_keys *keys;
	const struct pn_openpgp_key *key;
	struct pn_error err = { 0 };
	int r = pn_openpgp_inspect(call, bytes, address, 0, &keys, &err);

	if (r < 0) {
		g_strlcpy(ret->why, err.text, sizeof(ret->why));
		return r == -EBADMSG || r == -E2BIG ? 0 : -EAGAIN;
	}
	g_strlcpy(ret->why, "what it has is no key", sizeof(ret->why));
	for (size_t i = 0; (key = pn_openpgp_key(keys, i)); i++) {
		if (key->reason) {
			g_snprintf(ret->why, sizeof(ret->why), "its key %.16s %s", key->fingerprint,
			    key->reason);
			continue;
		}
		g_strlcpy(ret->fingerprint, key->fingerprint, sizeof(ret->fingerprint));
		memcpy(ret->room, key->minimal.data, key->minimal.len);
		ret->material = pn_slice(ret->room, key->minimal.len);
		return 1;
	}
	return 0;
}

/*
 * `claimed`: that host is there for this purpose, so whatever goes wrong with it is a fault; a
 * domain's own host that has no HTTPS has no directory either.
 */
static int
ask(struct pn_call *call, const char *url, const char *address, bool claimed, struct wkd_found *ret)
{
	const struct pki *cfg = pn_settings(call);
	const struct pn_http_endpoint endpoint = {
		.url = url,
		.ca_file = cfg->wkd_ca_file,
		.timeout = cfg->wkd_timeout,
		.max_response = BYTES_MOST,
	};
	const struct pn_http_request request = { PN_HTTP_HEAD,
		.flags = PN_HTTP_LOOKUP | (cfg->wkd_server ? 0 : PN_HTTP_PUBLIC),
		.endpoint = &endpoint };
	const struct pn_http_response *response;
	struct pn_error err = { 0 };
	int status, r = pn_http(call, &request, &response, &err);

	if (r < 0) {
		g_strlcpy(ret->why, err.text, sizeof(ret->why));
		return r == -E2BIG || (!claimed && (r == -ECONNREFUSED || r == -EKEYREJECTED))
			   ? 0
			   : -EAGAIN;
	}
	status = pn_http_status(response);
	if (status == 200)
		return take_keys(call, pn_http_body(response), address, ret);
	g_snprintf(ret->why, sizeof(ret->why), "its directory has none (HTTP %d)", status);
	return status == 408 || status == 429 || status >= 500 ? -EAGAIN : 0;
}

/* The advanced method, and only where that host does not exist the direct one (section 3.1). */
static int
look_up(struct pn_call *call, const char *address, struct wkd_found *ret)
{
	const struct pki *cfg = pn_settings(call);
	const char *domain = strrchr(address, '@') + 1;
	char *host = g_strconcat("openpgpkey.", domain, NULL);
	GString *url = g_string_new(NULL);
	int r = cfg->wkd_server ? 1 : has_address(host);

	g_strlcpy(ret->why, "the DNS cannot be asked for its directory", sizeof(ret->why));
	if (r > 0) {
		r = wkd_url(WKD_ADVANCED, cfg->wkd_server, address, url)
			? ask(call, url->str, address, true, ret)
			: 0;
	} else if (r == 0) {
		r = has_address(domain);
		if (r == 0)
			g_strlcpy(ret->why, "its domain has no directory", sizeof(ret->why));
		if (r > 0 && wkd_url(WKD_DIRECT, NULL, address, url))
			r = ask(call, url->str, address, false, ret);
	}
	g_string_free(url, TRUE);
	g_free(host);
	return r;
}

int
wkd_find(struct pn_call *call, struct wkd *wkd, const char *address, struct wkd_found *ret)
{
	GString *url = g_string_new(NULL);
	bool askable = wkd_url(WKD_ADVANCED, NULL, address, url);
	int r = 0;

	g_string_free(url, TRUE);
	memset(ret, 0, sizeof(*ret));
	if (!askable || recall(wkd, address, &r, ret))
		return r;
	r = look_up(call, address, ret);
	remember(wkd, address, r, ret);
	return r;
}
