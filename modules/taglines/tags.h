/* SPDX-License-Identifier: Apache-2.0 */
/* tags.h - the tags of an HTML text, one after the other; for html.c and seen.c. */
#ifndef MODULES_TAGLINES_TAGS_H
#define MODULES_TAGLINES_TAGS_H

#include <postern/base.h>

struct tag {
	struct pn_slice name;       /* as it stands, without "/" */
	struct pn_slice attributes; /* what is behind the name, up to the ">" */
	size_t start, end;          /* in the text, with "<" and ">" */
	bool closing;
};

/*
 * The next tag at or after `*at`, which goes behind it; false at the end. Comments and declarations
 * are no tags, nor is anything inside of script, style, title and textarea.
 */
bool tags_next(struct pn_slice html, size_t *at, struct tag *ret);
bool tag_is(const struct tag *tag, const char *name);
/* The value of an attribute, without quotes; length 0 if there is none. */
struct pn_slice tag_attribute(const struct tag *tag, const char *name);

#endif
