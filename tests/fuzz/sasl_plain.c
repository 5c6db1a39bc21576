/* SPDX-License-Identifier: Apache-2.0 */
/* sasl_plain.c - fuzz target: PLAIN's message is its three fields and two NULs, or refused. */
#include "../../modules/auth/plain.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plain_message message;
	const char *text = (const char *)data;

	if (plain_read(pn_slice(text, size), &message) < 0)
		return 0;
	must(message.acts_for.len + message.user.len + message.password.len + 2 == size);
	must(message.acts_for.data == text &&
	     message.password.data + message.password.len == text + size);
	must(message.user.len > 0);
	must(!memchr(message.user.data, 0, message.user.len));
	must(!memchr(message.password.data, 0, message.password.len));
	return 0;
}
