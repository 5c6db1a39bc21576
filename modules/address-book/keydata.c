/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keydata.c - tells certificates and OpenPGP keys by looking at them.
 *
 * Called with what vCards, files and directory servers have. Must never keep a private key: one
 * that somebody gives by mistake is refused, and is not in the text that says so.
 */
#include "keydata.h"
#include "../common/certificate_judge.h"
#include <errno.h>
#include <openssl/x509v3.h>

#define PRIVATE_TEXT \
	"that is a private key: it belongs to its owner alone; give the public key or certificate"
#define CERTIFICATES_MOST 32
#define LOOK_MOST         (256u * 1024) /* bytes that are looked at */

void
keydata_init(struct keydata *keys)
{
	*keys = (struct keydata){ .certificates = g_byte_array_new(), .pgp = g_byte_array_new() };
}

void
keydata_clear(struct keydata *keys)
{
	g_byte_array_unref(keys->certificates);
	g_byte_array_unref(keys->pgp);
}

size_t
keydata_count(const struct keydata *keys)
{
	return keys->leaves + keys->authorities + (keys->pgp->len > 0);
}

/* ---- certificates ---------------------------------------------------------------------------- */

/* The length of the SEQUENCE that begins here, with its head; 0: none does (X.690 8.1.3). */
static size_t
der_len(struct pn_slice bytes)
{
	const uint8_t *at = (const uint8_t *)bytes.data;
	size_t octets, len = 0;

	if (bytes.len < 2 || at[0] != 0x30)
		return 0;
	octets = at[1] < 0x80 ? 0 : at[1] & 0x7fu;
	if ((at[1] & 0x80 && octets == 0) || octets > 3 || bytes.len - 2 < octets)
		return 0;
	for (size_t i = 0; i < octets; i++)
		len = len << 8 | at[2 + i];
	if (octets == 0)
		len = at[1];
	return bytes.len - 2 - octets >= len ? 2 + octets + len : 0;
}

bool
keydata_next_certificate(struct pn_slice *rest, struct pn_slice *ret)
{
	size_t len = der_len(*rest);

	if (len == 0)
		return false;
	*ret = pn_slice(rest->data, len);
	*rest = pn_slice(rest->data + len, rest->len - len);
	return true;
}

static bool
is_there(const struct keydata *keys, struct pn_slice der)
{
	struct pn_slice rest = pn_slice(keys->certificates->data, keys->certificates->len), one;

	while (keydata_next_certificate(&rest, &one))
		if (pn_slice_equals(one, der))
			return true;
	return false;
}

/* One that speaks for nobody's address; what people make for themselves is often one as well. */
static bool
is_authority(X509 *certificate)
{
	STACK_OF(OPENSSL_STRING) *addresses = X509_get1_email(certificate);
	bool ret = sk_OPENSSL_STRING_num(addresses) <= 0 &&
		   (X509_get_extension_flags(certificate) & EXFLAG_CA);

	X509_email_free(addresses);
	return ret;
}

static int
add_certificate(struct keydata *keys, X509 *certificate, struct pn_error *err)
{
	GByteArray *all = keys->certificates;
	unsigned char *der = NULL;
	int len = i2d_X509(certificate, &der), r = 0;
	struct pn_slice one = pn_slice(der, len > 0 ? (size_t)len : 0);

	if (len <= 0) {
		r = pn_error_set(err, -EINVAL, "that is no certificate (X.509)");
	} else if (is_there(keys, one)) {
		;
	} else if (all->len + one.len > KEYDATA_CERTIFICATES_MOST) {
		r = pn_error_set(err, -E2BIG, "the certificates of an entry have at most %u bytes",
		    KEYDATA_CERTIFICATES_MOST);
	} else if (is_authority(certificate)) {
		g_byte_array_append(all, der, (guint)len);
		keys->authorities++;
	} else {
		g_byte_array_append(all, der, (guint)len);
		memmove(all->data + keys->leaf_len + one.len, all->data + keys->leaf_len,
		    all->len - keys->leaf_len - one.len);
		memcpy(all->data + keys->leaf_len, der, one.len);
		keys->leaf_len += one.len;
		keys->leaves++;
	}
	OPENSSL_free(der);
	return r;
}

static int
add_certificates(struct keydata *keys, struct pn_slice bytes, struct pn_error *err)
{
	STACK_OF(X509) *certificates = NULL;
	int r = certificates_read(bytes, CERTIFICATES_MOST, &certificates, err);

	if (r < 0)
		return r == -E2BIG ? r : -EINVAL;
	for (int i = 0; i < sk_X509_num(certificates) && r == 0; i++)
		r = add_certificate(keys, sk_X509_value(certificates, i), err);
	sk_X509_pop_free(certificates, X509_free);
	return r;
}

size_t
keydata_leaf_len(struct pn_slice certificates)
{
	struct pn_slice rest = certificates, one;
	size_t ret = 0;

	while (keydata_next_certificate(&rest, &one)) {
		const unsigned char *at = (const unsigned char *)one.data;
		X509 *certificate = d2i_X509(NULL, &at, (long)one.len);
		bool authority = certificate && is_authority(certificate);

		X509_free(certificate);
		if (authority)
			break;
		ret += one.len;
	}
	return ret;
}

/* ---- OpenPGP --------------------------------------------------------------------------------- */

/* The tag of the packet that begins here; -1: none does (RFC 4880 section 4.2). */
static int
packet_tag(struct pn_slice bytes)
{
	uint8_t first = bytes.len > 2 ? (uint8_t)bytes.data[0] : 0;

	if (!(first & 0x80))
		return -1;
	return first & 0x40 ? first & 0x3f : (first >> 2) & 0x0f;
}

static int
add_pgp(struct keydata *keys, struct pn_slice bytes, struct pn_error *err)
{
	int tag = packet_tag(bytes);

	if (tag == 5 || tag == 7)
		return pn_error_set(err, -EINVAL, PRIVATE_TEXT);
	if (tag != 6)
		return pn_error_set(err, -EINVAL, "that is neither a certificate nor a key");
	if (keys->pgp->len == bytes.len && memcmp(keys->pgp->data, bytes.data, bytes.len) == 0)
		return 0;
	if (keys->pgp->len > 0)
		return pn_error_set(err, -E2BIG, "a second OpenPGP key is left out");
	if (bytes.len > KEYDATA_PGP_MOST)
		return pn_error_set(err, -E2BIG,
		    "an OpenPGP key has at most %u bytes; export it without photos and foreign "
		    "signatures",
		    KEYDATA_PGP_MOST);
	g_byte_array_append(keys->pgp, (const guint8 *)bytes.data, (guint)bytes.len);
	return 0;
}

/* ---- wrappings ------------------------------------------------------------------------------- */

GByteArray *
keydata_base64(const char *text, size_t len)
{
	GByteArray *ret = g_byte_array_new();
	gint state = 0;
	guint save = 0;

	g_byte_array_set_size(ret, (guint)(len / 4 * 3 + 6));
	len = g_base64_decode_step(text, len, ret->data, &state, &save);
	g_byte_array_set_size(ret, (guint)len);
	return ret;
}

/* Armor has header lines up to an empty one, and a checksum in a line that begins with "=". */
static struct pn_slice
armored(struct pn_slice text)
{
	const char *at = text.data, *end = text.data + text.len;

	while (at < end) {
		const char *line = memchr(at, '\n', (size_t)(end - at));
		size_t len = line ? (size_t)(line - at) : (size_t)(end - at);

		while (len > 0 && g_ascii_isspace(at[len - 1]))
			len--;
		at = line ? line + 1 : end;
		if (len == 0)
			break;
	}
	for (const char *sum = at; (sum = memchr(sum, '\n', (size_t)(end - sum))); sum++)
		if (end - sum > 1 && sum[1] == '=') {
			end = sum;
			break;
		}
	return pn_slice(at, (size_t)(end - at));
}

/* What stands between "-----BEGIN x-----" and "-----END x-----"; false: no such block begins. */
static bool
next_block(struct pn_slice *rest, struct pn_slice *label, struct pn_slice *inside)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ", dashes[] = "-----";
	const char *at = memmem(rest->data, rest->len, begin, sizeof(begin) - 1), *to, *stop;
	const char *last = rest->data + rest->len;

	if (!at)
		return false;
	at += sizeof(begin) - 1;
	to = memmem(at, (size_t)(last - at), dashes, sizeof(dashes) - 1);
	if (!to)
		return false;
	*label = pn_slice(at, (size_t)(to - at));
	to += sizeof(dashes) - 1;
	stop = memmem(to, (size_t)(last - to), end, sizeof(end) - 1);
	if (!stop)
		return false;
	/* The line's end goes with the label. */
	while (to < stop && *to != '\n')
		to++;
	*inside = pn_slice(to + (to < stop), (size_t)(stop - to - (to < stop)));
	*rest = pn_slice(stop + sizeof(end) - 1, (size_t)(last - stop) - (sizeof(end) - 1));
	return true;
}

static bool
label_has(struct pn_slice label, const char *what)
{
	return memmem(label.data, label.len, what, strlen(what)) != NULL;
}

static int
add_armored(struct keydata *keys, struct pn_slice inside, struct pn_error *err)
{
	struct pn_slice base64 = armored(inside);
	GByteArray *bytes = keydata_base64(base64.data, base64.len);
	int r = add_pgp(keys, pn_slice(bytes->data, bytes->len), err);

	g_byte_array_unref(bytes);
	return r;
}

/* Blocks of text: 1 if there is none. OpenPGP's are taken, certificates are for another to read. */
static int
add_blocks(struct keydata *keys, struct pn_slice text, struct pn_error *err)
{
	struct pn_slice rest = text, label, inside;
	bool certificates = false;
	int r = 1;

	while (r >= 0 && next_block(&rest, &label, &inside)) {
		r = 0;
		if (label_has(label, "PRIVATE KEY"))
			r = pn_error_set(err, -EINVAL, PRIVATE_TEXT);
		else if (label_has(label, "PGP PUBLIC KEY"))
			r = add_armored(keys, inside, err);
		else
			certificates = true;
	}
	return r == 0 && certificates ? add_certificates(keys, text, err) : r;
}

static bool
all_base64(struct pn_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!g_ascii_isalnum(text.data[i]) && !g_ascii_isspace(text.data[i]) &&
		    !memchr("+/=", text.data[i], 3))
			return false;
	return text.len > 0;
}

static int
look(struct keydata *keys, struct pn_slice bytes, bool bare, struct pn_error *err)
{
	GByteArray *inner;
	int r = add_blocks(keys, bytes, err);

	if (r <= 0)
		return r;
	if (packet_tag(bytes) >= 0)
		return add_pgp(keys, bytes, err);
	if (!bare || !all_base64(bytes))
		return add_certificates(keys, bytes, err);
	inner = keydata_base64(bytes.data, bytes.len);
	r = look(keys, pn_slice(inner->data, inner->len), false, err);
	g_byte_array_unref(inner);
	return r;
}

int
keydata_look(struct keydata *keys, struct pn_slice bytes, struct pn_error *err)
{
	if (bytes.len > LOOK_MOST)
		return pn_error_set(err, -E2BIG, "a key has at most %u bytes", LOOK_MOST);
	if (bytes.len == 0)
		return pn_error_set(err, -EINVAL, "there is no key in it");
	return look(keys, bytes, true, err);
}
