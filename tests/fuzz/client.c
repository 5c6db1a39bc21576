/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c - fuzz target: what modules read of an HTTP response, and what they put into an LDAP
 * filter.
 *
 * A field of a response lies inside its head and has no blanks around. A filter with a value in it
 * has the value's bytes back when the escapes are undone, and none that could end the value.
 */
#include <core/client/http.h>
#include <core/client/ldap.h>
#include <glib.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static void
try_field(struct pn_slice head)
{
	static const char *const names[] = { "Content-Type", "x", "Location" };
	const struct pn_http_response response = { 200, head, { NULL, 0 } };
	struct pn_slice value;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!pn_http_field(&response, names[i], &value))
			continue;
		must(value.data > head.data && value.data + value.len <= head.data + head.len);
		must(!memchr(value.data, '\n', value.len));
		must(value.len == 0 || !memchr(" \t", value.data[0], 2));
		must(value.len == 0 || !memchr(" \t\r", value.data[value.len - 1], 3));
	}
}

static void
try_filter(struct pn_slice value)
{
	static const char filter[] = "(a=?1)";
	struct buf buf = BUF_INIT(8192);
	size_t at = 3;

	if (ldap_filter_fill(filter, &value, 1, &buf, NULL) == 0) {
		must(buf.len >= 4 && !memcmp(buf.data, "(a=", 3) && buf.data[buf.len - 1] == ')');
		for (size_t i = 0; i < value.len; i++) {
			int byte = buf.data[at++];

			must(byte >= ' ' && byte < 0x7f && !strchr("*()", byte));
			if (byte == '\\') {
				byte = g_ascii_xdigit_value(buf.data[at]) << 4 |
				       g_ascii_xdigit_value(buf.data[at + 1]);
				at += 2;
			}
			must(byte == (unsigned char)value.data[i]);
		}
		must(at == buf.len - 1);
	} else {
		must(value.len > 8192 / 3 - 2);
	}
	buf_free(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = g_memdup2(data, size); /* so that a byte too far is seen */

	if (size > 0) {
		try_field(pn_slice(copy, size));
		try_filter(pn_slice(copy, size));
	}
	g_free(copy);
	return 0;
}
