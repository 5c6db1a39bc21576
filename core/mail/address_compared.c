/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address_compared.c - one form for all spellings that mean the same mailbox here.
 *
 * Called wherever people are looked up: settings, directory, database. Must give an address again,
 * and for that one itself.
 */
#include <core/base/text.h>
#include <core/mail/address.h>
#include <glib.h>

/* GLib 2.74 makes small letters of Cherokee's capitals and capitals of its small ones. */
static void
fold_letter(GString *to, const char *letter, gssize len)
{
	char *once = g_utf8_casefold(letter, len), *twice = g_utf8_casefold(once, -1);

	g_string_append(to, strcmp(once, twice) > 0 ? twice : once);
	g_free(once);
	g_free(twice);
}

/*
 * Canonical caseless matching (Unicode section 3.13, D145), written composed. What is no address
 * any more when it is folded (U+1FEF becomes an accent of ASCII's) stays as it was.
 */
static void
fold(char address[MAIL_ADDRESS_SIZE])
{
	char *plain = g_utf8_normalize(address, -1, G_NORMALIZE_NFD);
	GString *folded = g_string_new(NULL);
	char *composed;
	char checked[MAIL_ADDRESS_SIZE];

	for (const char *c = plain; *c; c += g_utf8_skip[(unsigned char)*c])
		fold_letter(folded, c, g_utf8_skip[(unsigned char)*c]);
	composed = g_utf8_normalize(folded->str, -1, G_NORMALIZE_NFC);
	if (mail_address_canonical(composed, checked) == 0)
		strcpy(address, checked);
	g_free(plain);
	g_string_free(folded, TRUE);
	g_free(composed);
}

int
mail_address_compared(const char *address, char ret[MAIL_ADDRESS_SIZE])
{
	int r = mail_address_canonical(address, ret);

	if (r < 0)
		return r;
	text_lower(ret, strlen(ret));
	if (mail_address_is_utf8(ret))
		fold(ret);
	return 0;
}
