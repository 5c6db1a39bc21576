/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address_list.c - fuzz target: addresses in To and Cc.
 *
 * Whatever is found is an address in canonical form, and its local part stands in the field.
 */
#include <core/mail/address_list.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
found(void *arg, const char *address)
{
	const struct pn_slice *value = arg;
	char again[MAIL_ADDRESS_SIZE];
	const char *at = strrchr(address, '@');

	if (mail_address_canonical(address, again) < 0 || strcmp(address, again) != 0)
		abort();
	if (at && !memmem(value->data, value->len, address, (size_t)(at - address) + 1))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice value = pn_slice(data, size);

	mail_address_list(value, found, &value);
	return 0;
}
