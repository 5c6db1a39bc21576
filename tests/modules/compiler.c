/* SPDX-License-Identifier: Apache-2.0 */
/* compiler.c - test module: what it prepares takes long, and says which process did the work. */
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct compiler {
	const char *words;
};

static const struct pn_option compiler_options[] = { PN_OPT_STRING("words", struct compiler, words,
							 NULL, PN_REQUIRED | PN_SCOPED,
							 "What to compile."),
	PN_OPT_END };

static int
compiler_prepare(struct pn_check *check, const void *settings, void **ret)
{
	const struct compiler *cfg = settings;
	const struct timespec long_time = { 0, 200000000 };
	struct pn_slice found;
	char *made = NULL;

	if (pn_blob_get(check, "compiled", &found)) {
		made = strndup(found.data, found.len);
	} else {
		nanosleep(&long_time, NULL);
		if (asprintf(&made, "%s by %ld", cfg->words, (long)getpid()) < 0)
			made = NULL;
		if (made && pn_blob_put(check, "compiled", pn_slice_of(made)) < 0)
			pn_warn(check, "words", "is compiled again by everybody");
	}
	*ret = made;
	return made ? 0 : -ENOMEM;
}

static struct pn_verdict
compiler_on_message(struct pn_call *call, struct pn_txn *txn)
{
	int r = pn_header_prepend(call, "X-Compiled", pn_derived(call));

	return r < 0 ? pn_fault(call, r, "cannot add the field") : pn_pass();
}

static const struct pn_hook compiler_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, compiler_on_message },
	PN_HOOK_END,
};

PN_MODULE(compiler) = {
	PN_MODULE_HEAD,
	.name = "compiler",
	.summary = "Compiles slowly.",
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct compiler),
	.settings = compiler_options,
	.prepare = compiler_prepare,
	.release = free,
	.hooks = compiler_hooks,
};
