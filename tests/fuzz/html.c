/* SPDX-License-Identifier: Apache-2.0 */
/*
 * html.c - fuzz target: places and words in HTML and in plain text, as taglines looks for them.
 *
 * Input: a body. Every place lies inside of it, what goes there is what was given, and a block that
 * was put in is found again.
 */
#include "../../modules/taglines/taglines.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool sound)
{
	if (!sound)
		abort();
}

static void
check_html(struct pn_slice html, enum position position)
{
	static const char block[] = "<div class=\"postern-x\">T</div>";
	struct insertion insertion;

	html_place(html, block, position, &insertion);
	must(insertion.offset <= html.len && strstr(insertion.text, block));
	g_free(insertion.text);
}

static void
check_plain(struct pn_slice text, enum position position, bool flowed)
{
	struct insertion insertion;

	plain_place(text, "T \n>", position, flowed, &insertion);
	must(insertion.offset <= text.len && strchr(insertion.text, 'T'));
	must(insertion.offset == 0 || insertion.offset == text.len ||
	     text.data[insertion.offset - 1] == '\n');
	g_free(insertion.text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pn_slice text = pn_slice(data, size);
	struct piece piece = { LITERAL, "registered in Ruritania" };
	struct template template = { 1, &piece };
	char *shown;

	for (enum position position = AT_BOTTOM; position <= BEFORE_QUOTE; position++) {
		check_html(text, position);
		check_plain(text, position, false);
		check_plain(text, position, true);
	}
	shown = html_to_text(text);
	seen_in_text(pn_slice_of(shown), &template, "T");
	seen_in_text(text, &template, "T");
	must(!seen_in_html(text, "postern-x") || memmem(text.data, text.len, "postern-x", 9));
	body_is_armored(text);
	g_free(shown);
	return 0;
}
