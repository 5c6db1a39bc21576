/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plain.c - takes the three fields of a PLAIN message apart.
 *
 * Called by sasl.c on event loops. Must never keep or copy the password.
 */
#include "plain.h"
#include <errno.h>
#include <glib.h>
#include <string.h>

/* Up to the next NUL, which is skipped; false where there is none. */
static bool
take_field(struct pn_slice *rest, struct pn_slice *ret)
{
	const char *end = rest->len > 0 ? memchr(rest->data, 0, rest->len) : NULL;

	if (!end)
		return false;
	*ret = pn_slice(rest->data, (size_t)(end - rest->data));
	*rest = pn_slice(end + 1, rest->len - ret->len - 1);
	return true;
}

static bool
is_utf8(struct pn_slice text)
{
	return text.len == 0 || g_utf8_validate(text.data, (gssize)text.len, NULL);
}

int
plain_read(struct pn_slice message, struct plain_message *ret)
{
	struct pn_slice rest = message;

	if (!take_field(&rest, &ret->acts_for) || !take_field(&rest, &ret->user))
		return -EINVAL;
	ret->password = rest;
	/* g_utf8_validate() with a length refuses NUL, too: there are no more than three fields. */
	if (ret->user.len == 0 || !is_utf8(ret->acts_for) || !is_utf8(ret->user) || !is_utf8(rest))
		return -EINVAL;
	return 0;
}
