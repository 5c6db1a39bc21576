/* SPDX-License-Identifier: Apache-2.0 */
/*
 * whole.c - fuzz target: is it encrypted to its last byte, and what selection handed over. What is
 * whole is so no more with something behind it; a choice that was read is written and read again.
 */
#include "../../modules/pki/whole.h"
#include "../../modules/pki/pki.h"
#include <openssl/err.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static void
append(struct pn_slice bytes, bool cms)
{
	char *longer = malloc(bytes.len + 2);

	memcpy(longer, bytes.data, bytes.len);
	memcpy(longer + bytes.len, "hi", 2);
	must(!(cms ? pki_is_whole_cms : pki_is_whole_pgp)(pn_slice(longer, bytes.len + 2)));
	free(longer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice bytes = pn_slice(data, size);
	struct pki_choice choice;
	GByteArray *again;

	if (pki_is_whole_cms(bytes))
		append(bytes, true);
	pki_is_whole_pgp(bytes);
	pki_is_whole_armour(bytes);
	must(ERR_peek_error() == 0);
	if (pki_choice_read(bytes, &choice) < 0)
		return 0;
	must(choice.leaf != NULL && pki_together(PKI_SMIME, bytes, bytes));
	pki_declares(choice.declared, NID_aes_256_gcm);
	again = pki_choice_write(choice.leaf, pn_slice("", 0));
	if (again)
		g_byte_array_free(again, TRUE);
	pki_choice_clear(&choice);
	return 0;
}
