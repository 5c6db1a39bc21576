/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_mail.c - mail in Postern's own words, as modules may make it.
 *
 * Called by hooks on policy threads, by `start`, and by commands; when is api_db.c's to say.
 */
#include <core/policy/api_db.h>
#include <core/store/outbox.h>
#include <errno.h>

int
pn_mail_send(struct pn_call *call, const struct pn_mail *mail, struct pn_error *err)
{
	struct db *db;
	int r = api_db_begin(call, &db, err);

	if (r < 0)
		return r;
	r = api_db_end(call, db, outbox_put(db, call->entry->config->id, mail, err), err);
	return r == -EEXIST ? 1 : r;
}
