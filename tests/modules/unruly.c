/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unruly.c - any module at all, whose hooks misbehave when they are told to.
 *
 * Compiled by tests/system/test_unruly.py once for each shipped module: NAME is the module's, with
 * '_' for '-', REAL its file. It brings along everything that the module's own description says,
 * and puts itself before each hook. ORDERS is a file with a stage's number and what goes wrong
 * there: "6 stall"; what was done is answered by removing it. ABOUT gets the module's stages and
 * needs.
 */
#include <dlfcn.h>
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MODULE_2(name) name##_LTX_postern_module
#define MODULE(name)   MODULE_2(name)
#define TEXT_2(name)   #name
#define TEXT(name)     TEXT_2(name)

/* Where a thread is the loop's: longer than the entry's timeout. */
#define STALL_MS 2500

/* Filled in before anybody looks. */
PN_PUBLIC extern struct pn_module MODULE(NAME);
struct pn_module MODULE(NAME);
static const struct pn_module *real;
static struct pn_hook hooks[PN_STAGE_COUNT + 1];

static void
wait_ms(long ms)
{
	const struct timespec wait = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&wait, NULL);
}

/* Takes the order for this stage; only one thread gets it. */
static bool
take_order(int32_t stage, char what[16])
{
	FILE *file = fopen(ORDERS, "r");
	int at = 0, n = 0;

	if (!file)
		return false;
	n = fscanf(file, "%d %15s", &at, what);
	fclose(file);
	return n == 2 && at == stage && unlink(ORDERS) == 0;
}

static struct pn_verdict
call_real(struct pn_call *call, struct pn_txn *txn)
{
	const struct pn_hook *hook = real->hooks;

	while (hook->stage != pn_stage(call))
		hook++;
	return hook->run(call, txn);
}

static struct pn_verdict
unruly(struct pn_call *call, struct pn_txn *txn)
{
	char what[16];

	if (!take_order(pn_stage(call), what))
		return call_real(call, txn);
	if (!strcmp(what, "fault"))
		return pn_fault(call, -EIO, "as ordered");
	if (!strcmp(what, "kill"))
		abort();
	if (!pn_may_block(call))
		wait_ms(STALL_MS);
	else
		for (int i = 0; i < 600; i++) /* as good as never */
			wait_ms(100);
	return call_real(call, txn);
}

/* From whichever process loads it first. */
static void
tell(void)
{
	FILE *file = fopen(ABOUT, "w");

	if (!file)
		return;
	fprintf(file, "needs %s\nstages", real->needs ? real->needs : "");
	for (const struct pn_hook *hook = hooks; hook->run; hook++)
		fprintf(file, " %d", hook->stage);
	fprintf(file, "\n");
	fclose(file);
}

__attribute__((constructor)) static void
take_over(void)
{
	void *file = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
	size_t count = 0;

	real = file ? dlsym(file, TEXT(NAME) "_LTX_postern_module") : NULL;
	if (!real) {
		fprintf(stderr, "unruly: %s\n", dlerror());
		abort();
	}
	MODULE(NAME) = *real;
	for (const struct pn_hook *hook = real->hooks; hook && hook->stage != PN_STAGE_END;
	     hook++) {
		hooks[count] = *hook;
		hooks[count++].run = unruly;
	}
	MODULE(NAME).hooks = hooks;
	tell();
}
