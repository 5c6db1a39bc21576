/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.c - fuzz target: the PROXY protocol's header.
 *
 * However the bytes are split, the same comes of them: no prefix of a header is one, none of a
 * refusal is taken, and what follows a header changes nothing.
 */
#include <core/smtp/proxy.h>
#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static void
check_client(const struct proxy_header *header)
{
	char text[ADDRESS_TEXT];
	struct address again;

	if (!header->told)
		return;
	address_format(&header->client, text);
	must(address_parse(text, 0, &again, NULL) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header header, again;
	int whole = proxy_parse(pn_slice(data, size), &header), r = 0;

	must(whole == -EINVAL ||
	     (whole >= 0 && (size_t)whole <= size && whole <= (int)PROXY_HEADER_MOST));
	must(whole != 0 || size < PROXY_HEADER_MOST);
	if (whole > 0)
		check_client(&header);
	for (size_t len = 0; len <= size && len <= PROXY_HEADER_MOST && r == 0; len++) {
		r = proxy_parse(pn_slice(data, len), &again);
		must(r <= 0 || (size_t)r == len);
	}
	must(r == whole);
	return 0;
}
