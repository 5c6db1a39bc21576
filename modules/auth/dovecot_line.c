/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dovecot_line.c - reads what Dovecot's auth service says (its Authentication Protocol, version 1).
 *
 * Called by backend_dovecot.c. Fields stand between tabs; what is not known is passed over.
 */
#include "dovecot_line.h"

static struct pn_slice
take_field(struct pn_slice *rest)
{
	const char *end = rest->len > 0 ? memchr(rest->data, '\t', rest->len) : NULL;
	struct pn_slice field = *rest;

	if (!end) {
		*rest = pn_slice("", 0);
		return field;
	}
	field.len = (size_t)(end - rest->data);
	*rest = pn_slice(end + 1, rest->len - field.len - 1);
	return field;
}

static bool
is(struct pn_slice field, const char *text)
{
	return field.len == strlen(text) && memcmp(field.data, text, field.len) == 0;
}

/*
 * The password is right, and yet the user is not to be let in: not at all, here but not there, or
 * as nobody in particular.
 */
static bool
is_no_login(struct pn_slice field)
{
	return is(field, "nologin") || is(field, "proxy") || is(field, "anonymous");
}

static void
read_answer(struct pn_slice rest, const char *id, bool ok, struct dovecot_line *ret)
{
	if (!is(take_field(&rest), id))
		return;
	ret->word = ok ? DOVECOT_OK : DOVECOT_NO;
	while (rest.len > 0) {
		struct pn_slice field = take_field(&rest);

		if (ok && field.len > 5 && memcmp(field.data, "user=", 5) == 0)
			ret->user = pn_slice(field.data + 5, field.len - 5);
		if (!ok && is(field, "temp"))
			ret->word = DOVECOT_DOWN;
		if (ok && is_no_login(field))
			ret->word = DOVECOT_NO;
	}
	if (ret->word != DOVECOT_OK)
		ret->user = pn_slice("", 0);
}

void
dovecot_line_read(struct pn_slice line, const char *id, struct dovecot_line *ret)
{
	struct pn_slice rest = line, word = take_field(&rest);

	*ret = (struct dovecot_line){ DOVECOT_OTHER, { "", 0 } };
	if (is(word, "DONE"))
		ret->word = DOVECOT_DONE;
	else if (is(word, "VERSION") && !is(take_field(&rest), "1"))
		ret->word = DOVECOT_OLD;
	else if (is(word, "OK") || is(word, "FAIL"))
		read_answer(rest, id, is(word, "OK"), ret);
}
