/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificate.c - copies of what a certificate says, and how fingerprints are written.
 *
 * Called by sessions, transactions and the directory. Must never look into a certificate: that is
 * core/net's.
 */
#include <core/base/certificate.h>
#include <errno.h>

static const char *const *
copy_texts(struct arena *arena, const char *const *texts, size_t count)
{
	const char **copies = arena_alloc(arena, count * sizeof(*copies) + 1);

	for (size_t i = 0; i < count; i++)
		copies[i] = arena_text(arena, texts[i]);
	return copies;
}

const struct certificate *
certificate_copy(struct arena *arena, const struct certificate *from)
{
	struct certificate *copy;

	if (!from)
		return NULL;
	copy = arena_copy(arena, from, sizeof(*from));
	copy->subject = arena_text(arena, from->subject);
	copy->fingerprint = arena_text(arena, from->fingerprint);
	copy->key = arena_text(arena, from->key);
	copy->addresses = copy_texts(arena, from->addresses, from->address_count);
	copy->names = copy_texts(arena, from->names, from->name_count);
	return copy;
}

int
certificate_read_print(const char *text, char ret[CERTIFICATE_PRINT + 1])
{
	size_t len = 0;

	for (; *text; text++) {
		bool digit = (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'f');
		bool capital = *text >= 'A' && *text <= 'F';

		if (*text == ':' && len > 0 && len % 2 == 0)
			continue;
		if ((!digit && !capital) || len == CERTIFICATE_PRINT)
			return -EINVAL;
		ret[len++] = capital ? (char)(*text - 'A' + 'a') : *text;
	}
	ret[len] = '\0';
	return len == CERTIFICATE_PRINT ? 0 : -EINVAL;
}
