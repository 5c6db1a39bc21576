/* SPDX-License-Identifier: Apache-2.0 */
/* postman.c - test module: mail of its own, for every message, every second, and by a command. */
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>

struct postman {
	const char *to, *sender;
	bool flushes;
};

static const struct pn_option postman_options[] = {
	PN_OPT_STRING("to", struct postman, to, "boss@partner.example", 0, "Who is told."),
	PN_OPT_STRING("sender", struct postman, sender, NULL, 0, "Who says it."),
	PN_OPT_BOOL("flushes", struct postman, flushes, "no", 0, "The same every second."),
	PN_OPT_END,
};

static int
tell(struct pn_call *call, const char *key, const char *to, struct pn_error *err)
{
	const struct postman *cfg = pn_settings(call);
	const char *const recipients[] = { to, "second@partner.example" };
	struct pn_mail mail = { .size = sizeof(mail),
		.key = *key ? key : NULL,
		.sender = cfg->sender,
		.recipient_count = 2,
		.recipients = recipients,
		.subject = "Gr\xc3\xbc\xc3\x9f"
			   "e, sent by the module that is called postman",
		.text = ".\nH\xc3\xb6llo\n" };

	return pn_mail_send(call, &mail, err);
}

static struct pn_verdict
postman_on_helo(struct pn_call *call, struct pn_txn *txn)
{
	return tell(call, "x", "a@b.example", NULL) == -EWOULDBLOCK
		   ? pn_pass()
		   : pn_reject(call, 550, "5.0.0", "Mail was made on the loop");
}

static struct pn_verdict
postman_on_message(struct pn_call *call, struct pn_txn *txn)
{
	return tell(call, "x", "a@b.example", NULL) == -EROFS
		   ? pn_pass()
		   : pn_reject(call, 550, "5.0.0", "Mail was made before the commit");
}

static struct pn_verdict
say(struct pn_call *call, const char *key)
{
	const struct postman *cfg = pn_settings(call);
	struct pn_error err;
	int r = tell(call, key, cfg->to, &err);

	return r < 0 ? pn_fault(call, r, "%s", err.text) : pn_pass();
}

static struct pn_verdict
postman_on_committed(struct pn_call *call, struct pn_txn *txn)
{
	return say(call, pn_txn_id(txn));
}

static struct pn_verdict
postman_on_flush(struct pn_call *call, struct pn_txn *txn)
{
	const struct postman *cfg = pn_settings(call);

	return cfg->flushes ? say(call, "always") : pn_pass();
}

static int
postman_send(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err)
{
	int r = tell(call, argv[0], argv[1], err);

	if (r < 0)
		return r;
	pn_console_row(console);
	pn_console_field(console, "sent", r == 0 ? "now" : "before");
	return 0;
}

static const struct pn_command postman_commands[] = {
	{ "postman send", "KEY ADDRESS", "Sends it.", 2, 2, postman_send },
	{ NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pn_hook postman_hooks[] = {
	{ PN_STAGE_HELO, PN_QUICK, postman_on_helo },
	{ PN_STAGE_MESSAGE, 0, postman_on_message },
	{ PN_STAGE_COMMITTED, 0, postman_on_committed },
	{ PN_STAGE_FLUSH, 0, postman_on_flush },
	PN_HOOK_END,
};

PN_MODULE(postman) = {
	PN_MODULE_HEAD,
	.name = "postman",
	.summary = "Sends mail of its own.",
	.settings_size = sizeof(struct postman),
	.settings = postman_options,
	.hooks = postman_hooks,
	.commands = postman_commands,
};
