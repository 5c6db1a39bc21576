/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal.c - what is sealed is what is sent: a rendering is made 7-bit safe before its first seal.
 *
 * Called by chain.c where a seal hook takes part. Must never touch what is signed or encrypted, nor
 * hand a hook a view that is not the group's.
 */
#include <core/base/clock.h>
#include <core/mail/convert.h>
#include <core/policy/plans_inside.h>
#include <core/policy/reading.h>
#include <core/policy/seal.h>
#include <errno.h>

static bool
is_binary(const struct pn_txn *txn)
{
	return txn->facts.binary && plan_is_clear(txn->group);
}

static int
refuse(struct ruling *ret, int r)
{
	if (r == -ENOMEM)
		*ret = (struct ruling){ .kind = RULING_DEFER,
			.code = 452,
			.enhanced = "4.3.1",
			.text = "Not enough memory, try again later" };
	else
		*ret = (struct ruling){ .kind = RULING_DEFER,
			.code = 451,
			.enhanced = "4.3.0",
			.text = "Cannot take the message now, try again" };
	return r;
}

int
seal_prepare(struct chain_run *run, struct pn_txn *txn, bool may_block, struct ruling *ret)
{
	struct mail_bytes *safe = NULL;
	struct pn_error err;
	int r;

	if (run->prepared)
		return 1;
	if (reading_is_large(txn) && !may_block)
		return 0;
	if (!is_binary(txn) && !mail_bytes_has_eightbit(txn->view, 0)) {
		run->prepared = true;
		return 1;
	}
	if (!may_block)
		return 0;
	run->prepared = true;
	r = mail_convert_part(txn->view, 0, mail_bytes_size(txn->view), &safe, &err);
	if (r == -ENOTSUP)
		return 1;
	if (r == 0)
		r = plan_view(txn, safe);
	mail_bytes_release(&safe);
	if (r < 0)
		return refuse(ret, r);
	run->converted = true;
	if (run->began_ms > 0) /* the entry's time begins now */
		run->began_ms = clock_monotonic_ms();
	return 1;
}
