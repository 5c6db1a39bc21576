/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hop_terms.c - TLSA records read, and what a domain demands of a host compared.
 *
 * Called by mx.c with what the DNS says, by the queue that groups connections. Must never take a
 * record for one of use that OpenSSL could not match: then mail would wait for it.
 */
#include <core/net/hop_terms.h>
#include <glib.h>
#include <openssl/err.h>
#include <openssl/x509.h>

/* ---- records --------------------------------------------------------------------------------- */

/* The whole certificate, or key, and nothing behind it. */
static bool
is_whole(uint8_t selector, struct pn_slice data)
{
	const unsigned char *at = (const unsigned char *)data.data;
	const unsigned char *end = at + data.len;
	bool good;

	if (selector == 0) {
		X509 *certificate = d2i_X509(NULL, &at, (long)data.len);

		good = certificate && X509_get0_pubkey(certificate);
		X509_free(certificate);
	} else {
		EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)data.len);

		good = key != NULL;
		EVP_PKEY_free(key);
	}
	ERR_clear_error();
	return good && at == end;
}

bool
tlsa_read(struct pn_slice rdata, struct tlsa *ret)
{
	static const size_t sizes[] = { 0, 32, 64 };
	const unsigned char *bytes = (const unsigned char *)rdata.data;

	if (rdata.len < 4 || rdata.len - 3 > TLSA_DATA_MOST)
		return false;
	*ret = (struct tlsa){ bytes[0], bytes[1], bytes[2],
		pn_slice(rdata.data + 3, rdata.len - 3) };
	/* RFC 7672 section 3.1.3: usages 0 and 1 ask for authorities that nobody agrees on. */
	if ((ret->usage != 2 && ret->usage != 3) || ret->selector > 1 || ret->matching > 2)
		return false;
	return ret->matching == 0 ? is_whole(ret->selector, ret->data)
				  : ret->data.len == sizes[ret->matching];
}

/* ---- terms ----------------------------------------------------------------------------------- */

struct hop_terms
hop_terms_copy(const struct hop_terms *terms, struct arena *arena)
{
	struct hop_terms copy = *terms;
	struct tlsa *records = arena_copy(arena, terms->tlsa, terms->tlsa_count * sizeof(*records));

	for (size_t i = 0; i < terms->tlsa_count; i++)
		records[i].data = pn_slice(
		    arena_copy(arena, records[i].data.data, records[i].data.len),
		    records[i].data.len);
	copy.tlsa = records;
	copy.base = arena_text(arena, terms->base);
	copy.domain = arena_text(arena, terms->domain);
	return copy;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Whatever order the DNS has them in. */
static void
add_records(GChecksum *sum, const struct hop_terms *terms)
{
	char *each[TLSA_RECORDS_MOST + 1] = { NULL };
	size_t count = MIN(terms->tlsa_count, TLSA_RECORDS_MOST);

	for (size_t i = 0; i < count; i++) {
		const struct tlsa *tlsa = &terms->tlsa[i];
		char *digest = g_compute_checksum_for_data(
		    G_CHECKSUM_SHA256, (const guchar *)tlsa->data.data, tlsa->data.len);

		each[i] = g_strdup_printf(
		    "%d %d %d %s\n", tlsa->usage, tlsa->selector, tlsa->matching, digest);
		g_free(digest);
	}
	qsort(each, count, sizeof(*each), compare);
	for (size_t i = 0; i < count; i++) {
		g_checksum_update(sum, (const guchar *)each[i], -1);
		g_free(each[i]);
	}
}

/* A certificate that an authority of the domain's has made may have its name. */
static bool
has_authority(const struct hop_terms *terms)
{
	for (size_t i = 0; i < terms->tlsa_count; i++)
		if (terms->tlsa[i].usage == 2)
			return true;
	return false;
}

const char *
hop_terms_key(const struct hop_terms *terms, struct arena *arena)
{
	const char *text = terms->unsure ? " unsure" : "";
	GChecksum *sum;

	if (terms->encrypted)
		text = arena_printf(arena, "%s encrypted", text);
	if (terms->sts)
		text = arena_printf(arena, "%s sts%s", text, terms->unnamed ? " unnamed" : "");
	if (terms->tlsa_count == 0)
		return text;
	sum = g_checksum_new(G_CHECKSUM_SHA256);
	add_records(sum, terms);
	text = arena_printf(arena, "%s dane=%s@%s%s%s", text, g_checksum_get_string(sum),
	    terms->base, has_authority(terms) ? " of " : "",
	    has_authority(terms) ? terms->domain : "");
	g_checksum_free(sum);
	return text;
}
