/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_seven.c - the message in seven bits, for modules that sign it.
 *
 * Called by hooks that may block. Must never hand out bytes that are not counted against the memory
 * budget.
 */
#include <core/mail/convert.h>
#include <core/policy/call.h>
#include <errno.h>
#include <postern/part.h>

static int
convert(struct pn_call *call, struct pn_error *err)
{
	struct mail_bytes *view, *seven = NULL;
	int r = reading_hold_view(call->txn, &view);

	if (r < 0)
		return pn_error_set(err, r, "no memory to look at the message");
	r = mail_convert_part(view, 0, mail_bytes_size(view), &seven, err);
	mail_bytes_release(&view);
	if (r == 0)
		r = mail_bytes_whole(seven, &call->seven);
	mail_bytes_release(&seven);
	return r;
}

static bool
is_binary(const struct pn_call *call)
{
	return call->txn->facts.binary && !call->txn->group;
}

int
pn_message_7bit(struct pn_call *call, struct pn_slice *ret, struct pn_error *err)
{
	int r = 0;

	*ret = pn_slice(NULL, 0);
	if (!call->txn || !call->txn->view)
		return pn_error_set(err, -ENODATA, "there is no message here");
	if (!call->may_block)
		return pn_error_set(err, -EWOULDBLOCK, "this is not for a quick hook");
	if (call_overdue(call))
		return pn_error_set(err, -ECANCELED, "the time of this call is up");
	if (!is_binary(call) && !mail_bytes_has_eightbit(call->txn->view, 0)) {
		*ret = reading_view(call->txn);
		return ret->len ? 0 : pn_error_set(err, -EIO, "the message cannot be read now");
	}
	if (!call->seven)
		r = convert(call, err);
	if (r == 0)
		*ret = mail_bytes_front(call->seven);
	return r;
}
