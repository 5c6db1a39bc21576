/* SPDX-License-Identifier: Apache-2.0 */
/*
 * escrow.c - chooses escrow for recipients whom nothing before it serves: by portal login, or by a
 * default question and its answer (SPEC T2, 4 to 6).
 *
 * Called at select. Must never hand an answer on: what it chooses has the answer's public key. Must
 * never take a database that cannot be asked for one that says no.
 */
#include "escrow.h"
#include "keys.h"
#include <errno.h>

#define MODE_LOGIN    "login"
#define MODE_QUESTION "question"

struct question {
	const char *question;
	const struct pn_secret *answer;
};

struct escrow {
	struct pn_strings modes;
	struct question fallback;
};

static const struct pn_choice modes[] = {
	{ MODE_LOGIN, 0, "by an account at the portal, which the recipient makes on first use" },
	{ MODE_QUESTION, 0, "by the answer to a question" },
	{ NULL, 0, NULL },
};

static const struct pn_option question_options[] = {
	PN_OPT_STRING("question", struct question, question, NULL, PN_FILE_ONLY,
	    "What recipients are asked; one line, 500 bytes at most."),
	PN_OPT_SECRET("answer", struct question, answer, PN_FILE_ONLY,
	    "What they have to answer, 1,024 bytes at most; case, white space at the ends and how "
	    "letters are written do not count."),
	PN_OPT_END
};

static const struct pn_option escrow_options[] = {
	PN_OPT_WORDS("modes", struct escrow, modes, "[question]", modes,
	    PN_SCOPED | PN_ACCOUNT_ONLY,
	    "How recipients may open what is kept for them. With login everybody can be served; "
	    "without it, those can who have a portal account already."),
	PN_OPT_GROUP("default_question", struct escrow, fallback, struct question, question_options,
	    PN_SCOPED | PN_WHOLE,
	    "Asked of recipients for whom there is no question of their own, in mode question: the "
	    "user's, else the group's, the domain's, the account's."),
	PN_OPT_END
};

static bool
has_mode(const struct escrow *cfg, const char *mode)
{
	for (size_t i = 0; i < cfg->modes.count; i++)
		if (strcmp(cfg->modes.items[i], mode) == 0)
			return true;
	return false;
}

/* ---- settings -------------------------------------------------------------------------------- */

static void
check_question(struct pn_check *check, const struct question *own)
{
	const char *fault = answer_question_fault(own->question);
	struct pn_slice answer = pn_secret_bytes(own->answer);

	if (fault)
		pn_complain(check, "default_question.question", "%s", fault);
	fault = answer_fault(answer);
	if (fault)
		pn_complain(check, "default_question.answer", "%s", fault);
}

static void
escrow_check(struct pn_check *check, const void *settings)
{
	const struct escrow *cfg = settings;
	const struct question *own = &cfg->fallback;

	if (cfg->modes.count == 0)
		pn_complain(check, "modes", "is empty; write login, question, or both");
	if (own->question && own->answer)
		check_question(check, own);
	else if (own->question || own->answer)
		pn_complain(check, "default_question", "has no \"%s\"",
		    own->question ? "answer" : "question");
	if (own->question && cfg->modes.count > 0 && !has_mode(cfg, MODE_QUESTION))
		pn_complain(check, "modes", "lacks question, and there is a default_question");
}

/* ---- selection ------------------------------------------------------------------------------- */

static struct pn_verdict
choose_login(struct pn_call *call, const char *why)
{
	return pn_choose(call, "escrow", pn_slice_of(ANSWER_CHOICE_LOGIN), "portal login: %s", why);
}

static struct pn_verdict
choose_question(struct pn_call *call, const struct pn_txn *txn, const struct question *own)
{
	struct pn_slice answer = pn_secret_bytes(own->answer);
	char text[ANSWER_CHOICE_SIZE];
	struct answer_key key;
	int r;

	if (pn_txn_is_provisional(txn)) /* nothing of it stands */
		return pn_choose(call, "escrow", pn_slice(NULL, 0), "the default question");
	r = keys_make(pn_state(call), own->question, answer, pn_time_left(call), &key);
	if (r < 0)
		return pn_fault(call, r, "cannot make the key of the default answer");
	return pn_choose(call, "escrow", answer_choice_print(own->question, &key, text),
	    "the default question and its answer");
}

static struct pn_verdict
escrow_on_select(struct pn_call *call, struct pn_txn *txn)
{
	const struct escrow *cfg = pn_settings(call);
	struct pn_error err = { 0 };
	struct pn_account account;
	int r;

	if (has_mode(cfg, MODE_LOGIN))
		return choose_login(call, "it is enabled");
	if (!pn_may_block(call))
		return pn_not_quick();
	r = escrow_has_account(
	    call, pn_txn_account(txn, &account) ? account.name : "", pn_txn_recipient(txn), &err);
	if (r < 0)
		return pn_fault(call, r, "portal accounts cannot be read: %s", err.text);
	if (r > 0)
		return choose_login(call, "the recipient has a portal account");
	if (cfg->fallback.question && cfg->fallback.answer)
		return choose_question(call, txn, &cfg->fallback);
	return pn_pass_because(call, "no portal login, and no default question");
}

/* ---- the module ------------------------------------------------------------------------------ */

static int
escrow_start(struct pn_call *call, void **ret_state, struct pn_error *err)
{
	struct keys *keys;
	int r = keys_new(&keys);

	if (r < 0)
		return pn_error_set(err, r, "libsodium cannot be used here");
	*ret_state = keys;
	return 0;
}

static void
escrow_stop(void *state)
{
	struct keys *keys = state;

	keys_free(&keys);
}

static const struct pn_hook escrow_hooks[] = {
	{ PN_STAGE_SELECT, PN_QUICK, escrow_on_select },
	PN_HOOK_END,
};

PN_MODULE(escrow) = {
	PN_MODULE_HEAD,
	.name = "escrow",
	.summary = "Has messages kept for recipients who have no keys, to be opened by login or "
		   "answer.",
	.roles = PN_ROLE_RELAY | PN_ROLE_CTL,
	.settings_size = sizeof(struct escrow),
	.settings = escrow_options,
	.check = escrow_check,
	.start = escrow_start,
	.stop = escrow_stop,
	.hooks = escrow_hooks,
	.commands = escrow_commands,
	.migrations = escrow_migrations,
	.chooses = "escrow",
};
