/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert.c - fuzz target: a message for a next hop of seven bits.
 *
 * Input: a message. What comes out is ASCII in whole lines, converting it again changes nothing,
 * and what was like that before comes out as it was.
 */
#include <core/mail/convert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static bool
is_clean(const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((data[i] & 0x80) || data[i] == '\0')
			return false;
	return !mail_bare_newline(pn_slice(data, len));
}

static struct mail_bytes *
convert(struct mail_bytes *bytes)
{
	struct mail_bytes *converted = NULL;
	struct pn_error err = { 0 };

	if (mail_convert_7bit(bytes, &converted, &err) < 0)
		must(converted == NULL && *err.text);
	return converted;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mail_bytes *bytes, *once, *twice;

	if (mail_bytes_new(size, &bytes) < 0)
		abort();
	if (size > 0)
		memcpy(bytes->data, data, size);
	bytes->len = size;
	once = convert(bytes);
	if (once) {
		must(is_clean(once->data, once->len));
		twice = convert(once);
		must(twice && pn_slice_equals(pn_slice(once->data, once->len),
				  pn_slice(twice->data, twice->len)));
		mail_bytes_release(&twice);
		mail_bytes_release(&once);
	}
	mail_bytes_release(&bytes);
	return 0;
}
