/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vcard.c - fuzz target: cards, and keys in whatever wrapping. What is read stays within its
 * bounds, and what is written of it is read again.
 */
#include "../../modules/address-book/vcard.h"
#include <openssl/err.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static bool
same(const GByteArray *one, const GByteArray *other)
{
	return one->len == other->len &&
	       (one->len == 0 || memcmp(one->data, other->data, one->len) == 0);
}

static void
write_again(const struct vcard *card, int version)
{
	const struct vcard_source source = {
		.name = card->name,
		.address = "bo@partner.example",
		.question = card->question,
		.certificates = pn_slice(
		    card->keys.certificates->data, card->keys.certificates->len),
		.pgp = pn_slice(card->keys.pgp->data, card->keys.pgp->len),
	};
	GString *text = g_string_new(NULL);
	struct vcard_reader reader;
	struct vcard again;

	vcard_write(text, version, &source);
	vcard_open(&reader, pn_slice(text->str, text->len));
	must(vcard_next(&reader, &again, NULL) == 1 && again.addresses->len == 1);
	must(same(again.keys.certificates, card->keys.certificates));
	must(same(again.keys.pgp, card->keys.pgp));
	must(!*card->name || strcmp(again.name, card->name) == 0);
	vcard_clear(&again);
	g_string_free(text, TRUE);
}

static void
look_at(const struct vcard *card)
{
	must(g_utf8_validate(card->name, -1, NULL) && strlen(card->name) <= VCARD_NAME_MOST * 2);
	must(card->addresses->len <= VCARD_ADDRESSES_MOST);
	must(card->problems->len <= VCARD_PROBLEMS_MOST);
	must(card->keys.certificates->len <= KEYDATA_CERTIFICATES_MOST);
	must(card->keys.pgp->len <= KEYDATA_PGP_MOST);
	must(!card->question || strlen(card->question) <= VCARD_QUESTION_MOST);
	write_again(card, 3);
	write_again(card, 4);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vcard_reader reader;
	struct keydata keys;
	struct vcard card;
	int r;

	vcard_open(&reader, pn_slice(data, size));
	do {
		r = vcard_next(&reader, &card, NULL);
		if (r == 1)
			look_at(&card);
		vcard_clear(&card);
	} while (r == 1);
	keydata_init(&keys);
	must(keydata_look(&keys, pn_slice(data, size), NULL) < 0 || keydata_count(&keys) > 0);
	keydata_clear(&keys);
	ERR_clear_error();
	return 0;
}
