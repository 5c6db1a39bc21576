/* SPDX-License-Identifier: Apache-2.0 */
/* faulty.c - test module: answers at the message stage what a module may not answer, or cannot. */
#include <errno.h>
#include <postern/module.h>
#include <time.h>

enum how { FAULT, NOTHING, FORGED, CODE, ENHANCED, STAGE, OLDER, LATE, SPLICE, PASS };

struct faulty {
	int how;
};

static const struct pn_choice how_words[] = {
	{ "fault", FAULT, "Cannot decide." },
	{ "nothing", NOTHING, "A verdict of zeroes." },
	{ "forged", FORGED, "A refusal made by hand." },
	{ "code", CODE, "A refusal with 250." },
	{ "enhanced", ENHANCED, "A refusal with the wrong class." },
	{ "stage", STAGE, "A verdict of another stage." },
	{ "older", OLDER, "A verdict made before another one." },
	{ "late", LATE, "An answer after its time." },
	{ "splice", SPLICE, "Edits that are refused, one by one." },
	{ "pass", PASS, "Nothing at all." },
	{ NULL, 0, NULL },
};

static const struct pn_option faulty_options[] = { PN_OPT_CHOICE("how", struct faulty, how, "fault",
						       how_words, 0, "What goes wrong."),
	PN_OPT_END };

static struct pn_verdict
older(struct pn_call *call)
{
	struct pn_verdict first = pn_reject(call, 550, "5.7.1", "First");

	(void)pn_reject(call, 551, "5.7.2", "Second");
	return first;
}

static struct pn_verdict
late(struct pn_call *call)
{
	const struct timespec moment = { 0, 1000000 };

	while (pn_time_left(call) > 0)
		nanosleep(&moment, NULL);
	if (pn_tag(call, "late") != -ECANCELED)
		return pn_reject(call, 550, "5.0.0", "A late change was taken");
	return pn_pass();
}

/* Passes if every edit that must be refused is, so that none of them stands. */
static struct pn_verdict
splice(struct pn_call *call, const struct pn_txn *txn)
{
	size_t body = pn_txn_body(txn).len;
	const int results[] = {
		pn_header_prepend(call, "Bad Name", "x"),
		pn_header_prepend(call, "X-Name", "a\r\nInjected: b"),
		pn_header_prepend(call, "X-Name", "bare\nnewline"),
		pn_header_replace(call, pn_header_count(txn), "x"),
		pn_header_remove(call, pn_header_count(txn)),
		pn_body_splice(call, body + 1, 0, pn_slice_of("x")),
		pn_body_splice(call, 0, body + 1, pn_slice_of("x")),
		pn_body_splice(call, 0, 0, pn_slice_of("bare\n")),
		pn_body_splice(call, 0, 0, pn_slice_of("\rbare")),
		pn_body_splice(call, body - 1, 0, pn_slice_of("x")),
		pn_edit_sender(call, "no address"),
		pn_edit_recipient(call, "b@example.org"),
		pn_add_recipient(call, "no address"),
		pn_tag(call, "No Tag"),
		pn_effect_stage(call, "No Name", pn_slice_of("x")),
		pn_auth_offer(call, "PLAIN"),
		pn_auth_keep(call, call, NULL),
	};

	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (results[i] != -EINVAL)
			return pn_reject(call, 550, "5.0.0", "Edit %zu gave %d", i, results[i]);
	if (pn_remove_recipient(call, "nobody@example.org") != -ENOENT ||
	    pn_add_recipient(call, "one@EXAMPLE.org") != -EEXIST ||
	    pn_db_run(call, NULL, "DELETE FROM users", PN_NO_VALUES) != -EROFS)
		return pn_reject(call, 550, "5.0.0", "A change was not refused");
	return pn_pass();
}

static struct pn_verdict
faulty_on_message(struct pn_call *call, struct pn_txn *txn)
{
	const struct faulty *cfg = pn_settings(call);

	if (cfg->how != SPLICE && pn_header_prepend(call, "X-Faulty", "must not be seen") < 0)
		return pn_reject(call, 550, "5.0.0", "Cannot edit");
	switch (cfg->how) {
	case NOTHING:
		return (struct pn_verdict){ 0, 0 };
	case FORGED:
		return (struct pn_verdict){ 2, 0 };
	case CODE:
		return pn_reject(call, 250, "5.7.1", "Fine");
	case ENHANCED:
		return pn_defer(call, 451, "5.7.1", "Later");
	case STAGE:
		return pn_identified(call, "a@example.org");
	case OLDER:
		return older(call);
	case LATE:
		return late(call);
	case SPLICE:
		return splice(call, txn);
	case PASS:
		return pn_pass();
	default:
		return pn_fault(call, -EIO, "broken on purpose");
	}
}

static const struct pn_hook faulty_hooks[] = {
	{ PN_STAGE_MESSAGE, 0, faulty_on_message },
	PN_HOOK_END,
};

PN_MODULE(faulty) = {
	PN_MODULE_HEAD,
	.name = "faulty",
	.summary = "Does what a module may not do.",
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct faulty),
	.settings = faulty_options,
	.hooks = faulty_hooks,
};
