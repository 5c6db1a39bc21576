/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - case, nearness, base64, checksums.
 *
 * Base64 is OpenSSL's EVP block functions behind strict rules of our own about length and padding.
 */
#include <core/base/text.h>
#include <errno.h>
#include <libdeflate.h>
#include <openssl/evp.h>

static unsigned char
lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

bool
text_equals_nocase(struct pn_slice a, struct pn_slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower((unsigned char)a.data[i]) != lower((unsigned char)b.data[i]))
			return false;
	return true;
}

bool
text_is(struct pn_slice a, const char *word)
{
	return text_equals_nocase(a, pn_slice_of(word));
}

void
text_lower(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (char)lower((unsigned char)text[i]);
}

#define NEAR_MOST 63

/* Levenshtein distance with transpositions counted as two; words longer than NEAR_MOST are far. */
static size_t
distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), row[NEAR_MOST + 1];

	if (la > NEAR_MOST || lb > NEAR_MOST)
		return NEAR_MOST;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diagonal + (lower((unsigned char)a[i - 1]) !=
						     lower((unsigned char)b[j - 1]));

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[lb];
}

const char *
text_nearest(const char *word, const char *const *words)
{
	size_t len = strlen(word), limit = len <= 3 ? 1 : len / 3 + 1, best = limit + 1;
	const char *nearest = NULL;

	for (; *words; words++) {
		size_t d = distance(word, *words);

		if (d < best) {
			best = d;
			nearest = *words;
		}
	}
	return nearest;
}

int
text_base64_encode(struct pn_slice bytes, struct buf *ret)
{
	size_t len = (bytes.len + 2) / 3 * 4;
	int r;

	if (bytes.len > INT32_MAX / 2)
		return -E2BIG;
	r = buf_reserve(ret, len + 1);
	if (r < 0)
		return r;
	EVP_EncodeBlock((unsigned char *)ret->data + ret->len, (const unsigned char *)bytes.data,
	    (int)bytes.len);
	ret->len += len;
	return 0;
}

static bool
is_base64(unsigned char c)
{
	return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
	       c == '/';
}

int
text_base64_decode(struct pn_slice text, struct buf *ret)
{
	size_t pad = 0, len = text.len;
	int n, r;

	if (len == 0)
		return 0;
	if (len % 4 != 0 || len > INT32_MAX / 2)
		return -EINVAL;
	while (pad < 2 && text.data[len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < len - pad; i++)
		if (!is_base64((unsigned char)text.data[i]))
			return -EINVAL;
	r = buf_reserve(ret, len / 4 * 3);
	if (r < 0)
		return r;
	n = EVP_DecodeBlock(
	    (unsigned char *)ret->data + ret->len, (const unsigned char *)text.data, (int)len);
	if (n < 0)
		return -EINVAL;
	ret->len += (size_t)n - pad;
	return 0;
}

uint32_t
text_crc32(uint32_t crc, const void *bytes, size_t len)
{
	return libdeflate_crc32(crc, bytes, len);
}
