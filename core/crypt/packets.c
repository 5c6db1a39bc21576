/* SPDX-License-Identifier: Apache-2.0 */
/*
 * packets.c - armour and packet lengths of OpenPGP.
 *
 * Called in helper processes by keys.c, and by the tests. Must never read behind what it was given.
 */
#include <core/crypt/packets.h>
#include <errno.h>
#include <glib.h>
#include <openssl/evp.h>
#include <stdio.h>

/* ---- packets --------------------------------------------------------------------------------- */

static uint32_t
number(const unsigned char *at, size_t bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | *at++;
	return value;
}

/* How many octets the length has, 0: none that keys may have; section 4.2. */
static size_t
length_new(const unsigned char *at, size_t left, uint32_t *ret)
{
	if (left >= 1 && at[0] < 192) {
		*ret = at[0];
		return 1;
	}
	if (left >= 2 && at[0] < 224) {
		*ret = (uint32_t)(at[0] - 192) * 256 + at[1] + 192;
		return 2;
	}
	if (left >= 5 && at[0] == 255) {
		*ret = number(at + 1, 4);
		return 5;
	}
	return 0;
}

static size_t
length_old(int type, const unsigned char *at, size_t left, uint32_t *ret)
{
	size_t bytes = (size_t)1 << type;

	if (type == 3 || left < bytes)
		return 0;
	*ret = number(at, bytes);
	return bytes;
}

int
packet_next(struct pn_slice *rest, struct packet *ret)
{
	const unsigned char *at = (const unsigned char *)rest->data;
	size_t head, left = rest->len;
	uint32_t len = 0;

	if (left == 0)
		return 0;
	if (!(at[0] & 0x80))
		return -EBADMSG;
	if (at[0] & 0x40) {
		ret->tag = at[0] & 0x3f;
		head = length_new(at + 1, left - 1, &len);
	} else {
		ret->tag = (at[0] >> 2) & 0x0f;
		head = length_old(at[0] & 3, at + 1, left - 1, &len);
	}
	if (head == 0 || len > left - 1 - head)
		return -EBADMSG;
	ret->whole = pn_slice(rest->data, 1 + head + len);
	ret->body = pn_slice(rest->data + 1 + head, len);
	rest->data += ret->whole.len;
	rest->len -= ret->whole.len;
	return 1;
}

bool
packet_fingerprint(struct pn_slice body, char ret[PACKET_FINGERPRINT])
{
	unsigned char head[3] = { 0x99, (unsigned char)(body.len >> 8), (unsigned char)body.len };
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	EVP_MD_CTX *ctx;
	bool ok;

	if (body.len == 0 || body.data[0] != 4 || body.len > 0xffff)
		return false;
	ctx = EVP_MD_CTX_new();
	ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
	     EVP_DigestUpdate(ctx, head, sizeof(head)) == 1 &&
	     EVP_DigestUpdate(ctx, body.data, body.len) == 1 &&
	     EVP_DigestFinal_ex(ctx, digest, &len) == 1 && len == 20;
	EVP_MD_CTX_free(ctx);
	for (size_t i = 0; ok && i < 20; i++)
		snprintf(ret + 2 * i, 3, "%02X", digest[i]);
	return ok;
}

/* ---- armour ---------------------------------------------------------------------------------- */

#define BEGIN "-----BEGIN PGP "
#define END   "-----END PGP "

static bool
begins(struct pn_slice line, const char *with)
{
	return line.len >= strlen(with) && memcmp(line.data, with, strlen(with)) == 0;
}

/* A line without its end and the blanks before that. */
static bool
take_line(struct pn_slice *rest, struct pn_slice *ret)
{
	const char *end;
	size_t len;

	if (rest->len == 0)
		return false;
	end = memchr(rest->data, '\n', rest->len);
	len = end ? (size_t)(end - rest->data) + 1 : rest->len;
	*ret = pn_slice(rest->data, len);
	rest->data += len;
	rest->len -= len;
	while (ret->len > 0 && memchr(" \t\r\n", ret->data[ret->len - 1], 4))
		ret->len--;
	return true;
}

/* The header lines ("Comment: ...") up to the empty line. */
static void
skip_headers(struct pn_slice *rest)
{
	struct pn_slice before = *rest, line;

	while (take_line(rest, &line)) {
		if (line.len == 0)
			return;
		if (!memchr(line.data, ':', line.len)) {
			*rest = before; /* some write none of them, and no empty line either */
			return;
		}
		before = *rest;
	}
}

/*
 * The base64 of a block, up to its last line. A checksum (section 6.1) is not looked at: RFC 9580
 * has it ignored.
 */
static bool
take_block(struct pn_slice *rest, GByteArray *into)
{
	guchar bytes[1024];
	struct pn_slice line;
	gint state = 0;
	guint save = 0;

	skip_headers(rest);
	while (take_line(rest, &line)) {
		if (begins(line, END))
			return true;
		if (line.len > 1000)
			return false;
		if (line.len > 0 && line.data[0] != '=')
			g_byte_array_append(into, bytes,
			    (guint)g_base64_decode_step(line.data, line.len, bytes, &state, &save));
	}
	return false;
}

int
packets_unarmour(
    struct pn_slice input, struct arena *arena, struct pn_slice *ret, struct pn_error *err)
{
	GByteArray *all;
	struct pn_slice line;
	int r = 0;

	*ret = input;
	if (input.len > 0 && ((unsigned char)input.data[0] & 0x80) &&
	    !begins(input, "\xef\xbb\xbf")) /* a mark before text */
		return 0;
	all = g_byte_array_new();
	while (r == 0 && take_line(&input, &line))
		if (begins(line, BEGIN) && !take_block(&input, all))
			r = pn_error_set(err, -EBADMSG, "an armoured block has no end");
	*ret = pn_slice(
	    arena_copy(arena, all->data ? (const char *)all->data : "", all->len), all->len);
	g_byte_array_unref(all);
	return r;
}
