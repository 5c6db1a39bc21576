/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c - can this key be used now for this address, and what does its provider need of it?
 *
 * Called by look.c with what books have. Must never choose a key that is not for the address: who
 * wrote it into a book may have been wrong.
 */
#include "../common/certificate_judge.h"
#include "address_book.h"
#include <errno.h>
#include <time.h>

#define CHOICE_MOST 8192u /* bytes, as pn_choose() takes them */

/* ---- S/MIME ---------------------------------------------------------------------------------- */

/* The leaf, and what of the authorities there is room for. */
static void
choose_certificate(struct pn_slice leaf, struct pn_slice authorities, GByteArray *choice)
{
	g_byte_array_append(choice, (const guint8 *)leaf.data, (guint)leaf.len);
	if (choice->len + authorities.len <= CHOICE_MOST)
		g_byte_array_append(
		    choice, (const guint8 *)authorities.data, (guint)authorities.len);
}

bool
judge_certificates(
    const GByteArray *certificates, const char *address, GByteArray *choice, GString *why)
{
	const struct certificate_terms terms = {
		.address = address,
		.any_case = true,
		.use = CERTIFICATE_TO_ENCRYPT,
		.now = (int64_t)time(NULL),
	};
	struct pn_slice all = pn_slice(certificates->data, certificates->len), one;
	size_t leaf_len = keydata_leaf_len(all);
	/* Of authorities alone it is said what they are not. */
	struct pn_slice rest = leaf_len > 0 ? pn_slice(all.data, leaf_len) : all;
	const struct pn_slice authorities = pn_slice(all.data + leaf_len, all.len - leaf_len);
	struct certificate_judgement judgement;

	while (keydata_next_certificate(&rest, &one)) {
		if (certificate_judge(one, &terms, &judgement) && one.len <= CHOICE_MOST) {
			choose_certificate(one, authorities, choice);
			return true;
		}
		g_string_append_printf(why, "%sthe certificate %s", why->len ? ", " : "",
		    judgement.fault == CERTIFICATE_GOOD ? "is too large" : judgement.reason);
	}
	return false;
}

/* ---- OpenPGP --------------------------------------------------------------------------------- */

static bool
choose_key(const struct pn_openpgp_key *key, GByteArray *choice, GString *why)
{
	if (key->reason || key->minimal.len == 0 || key->minimal.len > CHOICE_MOST) {
		g_string_append_printf(why, "%sthe OpenPGP key %s", why->len ? ", " : "",
		    key->reason ? key->reason : "is too large");
		return false;
	}
	g_byte_array_append(choice, (const guint8 *)key->minimal.data, (guint)key->minimal.len);
	return true;
}

int
judge_pgp(struct pn_call *call, const GByteArray *key, const char *address, GByteArray *choice,
    GString *why, struct pn_error *err)
{
	const struct pn_openpgp_keys *keys;
	int r = pn_openpgp_inspect(call, pn_slice(key->data, key->len), address, 0, &keys, err);

	/* What is no key today is none tomorrow; all else may be. */
	if (r == -EBADMSG || r == -E2BIG) {
		g_string_append_printf(why, "the OpenPGP key cannot be read: %s", err->text);
		return 0;
	}
	if (r < 0)
		return r;
	for (size_t i = 0; i < pn_openpgp_count(keys); i++)
		if (choose_key(pn_openpgp_key(keys, i), choice, why))
			return 1;
	if (why->len == 0)
		g_string_append(why, "there is no OpenPGP key in it");
	return 0;
}
