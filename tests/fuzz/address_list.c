/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address_list.c - fuzz target: addresses in To and Cc.
 *
 * Whatever is found is an address in canonical form, and its local part stands in the field, quotes
 * and escapes aside. A field that is clear has nothing open at its end: one more address behind it
 * is one more that is found, and the field stays clear.
 */
#include <core/mail/address_list.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* `text` without quotes and escapes; to be freed. */
static char *
bare(const char *text, size_t len, size_t *ret_len)
{
	char *ret = malloc(len + 1);
	size_t to = 0;

	for (size_t i = 0; i < len; i++)
		if (text[i] != '"' && text[i] != '\\')
			ret[to++] = text[i];
	*ret_len = to;
	return ret;
}

static bool
stands_in(struct pn_slice value, struct pn_slice local)
{
	size_t value_len, local_len;
	char *all = bare(value.data, value.len, &value_len);
	char *part = bare(local.data, local.len, &local_len);
	bool does = memmem(all, value_len, part, local_len) != NULL;

	free(all);
	free(part);
	return does;
}

static void
found(void *arg, const char *address)
{
	const struct pn_slice *value = arg;
	char again[MAIL_ADDRESS_SIZE];
	const char *at = strrchr(address, '@');

	if (mail_address_canonical(address, again) < 0 || strcmp(address, again) != 0)
		abort();
	if (at && !stands_in(*value, pn_slice(address, (size_t)(at - address) + 1)))
		abort();
}

static void
count(void *arg, const char *address)
{
	(void)address;
	++*(size_t *)arg;
}

static void
append(struct pn_slice value)
{
	static const char more[] = ",x@example.org";
	char *longer = malloc(value.len + strlen(more));
	size_t before = 0, after = 0;

	if (value.len > 0)
		memcpy(longer, value.data, value.len);
	memcpy(longer + value.len, more, strlen(more));
	mail_address_list(value, count, &before);
	if (mail_address_list(pn_slice(longer, value.len + strlen(more)), count, &after) < 0 ||
	    after != before + 1)
		abort();
	free(longer);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice value = pn_slice(data, size);

	if (mail_address_list(value, found, &value) == 0)
		append(value);
	return 0;
}
