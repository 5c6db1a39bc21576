/* SPDX-License-Identifier: Apache-2.0 */
/* dovecot_line.c - fuzz target: what Dovecot's auth service says; a name is a slice of the line. */
#include "../../modules/auth/dovecot_line.h"
#include <stdlib.h>

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
	const char *text = (const char *)data;
	struct dovecot_line line;

	dovecot_line_read(pn_slice(text, size), "1", &line);
	must(line.user.len == 0 || (line.word == DOVECOT_OK && line.user.data > text &&
				       line.user.data + line.user.len <= text + size));
	must(line.word != DOVECOT_DOWN || (size >= 11 && memcmp(text, "FAIL\t1\t", 7) == 0));
	return 0;
}
