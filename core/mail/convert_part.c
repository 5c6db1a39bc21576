/* SPDX-License-Identifier: Apache-2.0 */
/*
 * convert_part.c - conversion of one message out of bytes that may hold several, and may be large.
 *
 * Called by core/queue/convert.c and core/policy/seal.c, on threads that may wait for a disk.
 */
#include <core/mail/convert.h>
#include <core/mail/convert_turn.h>

/* As bytes of their own, all of them in memory. */
static int
take(struct mail_bytes *bytes, size_t offset, size_t len, struct mail_bytes **ret)
{
	int r;

	if (len == mail_bytes_size(bytes))
		return mail_bytes_whole(bytes, ret);
	r = mail_bytes_new(len, ret);
	if (r < 0)
		return r;
	r = mail_bytes_append_part(*ret, bytes, offset, len);
	if (r < 0)
		mail_bytes_release(ret);
	return r;
}

/* What is large does not stay in memory. */
static int
let_overflow(struct mail_bytes **bytes)
{
	struct mail_bytes *from = *bytes;
	int r;

	if (from->len <= MAIL_IN_MEMORY)
		return 0;
	*bytes = NULL;
	r = mail_bytes_new_message(from->len, MAIL_BYTES_STAYS, bytes);
	if (r == 0)
		r = mail_bytes_append_part(*bytes, from, 0, from->len);
	if (r < 0)
		mail_bytes_release(bytes);
	mail_bytes_release(&from);
	return r;
}

static int
convert_part(struct mail_bytes *bytes, size_t offset, size_t len, struct mail_bytes **ret,
    struct pn_error *err)
{
	struct mail_bytes *body = NULL;
	int r = take(bytes, offset, len, &body);

	if (r < 0)
		return r;
	r = mail_convert_7bit(body, ret, err);
	mail_bytes_release(&body);
	return r < 0 ? r : let_overflow(ret);
}

int
mail_convert_part(struct mail_bytes *bytes, size_t offset, size_t len, struct mail_bytes **ret,
    struct pn_error *err)
{
	size_t taken;
	int r;

	convert_turn_take(len, &taken);
	r = convert_part(bytes, offset, len, ret, err);
	convert_turn_give(taken);
	return r;
}
