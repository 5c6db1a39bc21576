/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.c - test module: stages an effect and writes down in a file what became of it. */
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>
#include <stdlib.h>

struct ledger {
	const char *file;
	bool fail;
};

static const struct pn_option ledger_options[] = { PN_OPT_STRING("file", struct ledger, file, NULL,
						       PN_REQUIRED | PN_PATH, "Where to write."),
	PN_OPT_BOOL("fail", struct ledger, fail, "no", 0, "Fault when committed."), PN_OPT_END };

static int
write_down(struct pn_call *call, const struct pn_txn *txn, const char *what)
{
	const struct ledger *cfg = pn_settings(call);
	struct pn_slice bytes = { "(nothing)", 9 };
	FILE *file = fopen(cfg->file, "a");

	if (!file)
		return -errno;
	pn_effect(call, "page", &bytes);
	fprintf(file, "%s %s %.*s\n", what, pn_entry(call), (int)bytes.len, bytes.data);
	return fclose(file) == 0 ? 0 : -errno;
}

static struct pn_verdict
ledger_on_message(struct pn_call *call, struct pn_txn *txn)
{
	int r = pn_effect_stage(call, "page", pn_slice_of("first"));

	if (r == 0)
		r = pn_effect_stage(call, "page", pn_slice_of(pn_txn_sender(txn)));
	return r < 0 ? pn_fault(call, r, "cannot stage") : pn_pass();
}

static struct pn_verdict
ledger_on_committed(struct pn_call *call, struct pn_txn *txn)
{
	const struct ledger *cfg = pn_settings(call);
	int r = cfg->fail ? -EIO : write_down(call, txn, "committed");

	return r < 0 ? pn_fault(call, r, "cannot write") : pn_pass();
}

static struct pn_verdict
ledger_on_aborted(struct pn_call *call, struct pn_txn *txn)
{
	int r = write_down(call, txn, "aborted");

	return r < 0 ? pn_fault(call, r, "cannot write") : pn_pass();
}

/* Life cycle: a test counts lines. */
static int
ledger_start(struct pn_call *call, void **ret_state, struct pn_error *err)
{
	const struct ledger *cfg = pn_settings(call);
	char *state = strdup(cfg->file);
	int r = state ? write_down(call, NULL, "start") : -ENOMEM;

	if (r < 0) {
		free(state);
		return pn_error_set(err, r, "cannot write %s", cfg->file);
	}
	*ret_state = state;
	return 0;
}

static void
ledger_stop(void *state)
{
	FILE *file = fopen(state, "a");

	if (file) {
		fprintf(file, "stop\n");
		fclose(file);
	}
	free(state);
}

static const struct pn_hook ledger_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, ledger_on_message },
	{ PN_STAGE_COMMITTED, 0, ledger_on_committed },
	{ PN_STAGE_ABORTED, 0, ledger_on_aborted },
	PN_HOOK_END,
};

PN_MODULE(ledger) = {
	PN_MODULE_HEAD,
	.name = "ledger",
	.summary = "Writes down what became of its effects.",
	.needs = "stamper",
	.settings_size = sizeof(struct ledger),
	.settings = ledger_options,
	.start = ledger_start,
	.stop = ledger_stop,
	.hooks = ledger_hooks,
};
