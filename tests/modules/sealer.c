/* SPDX-License-Identifier: Apache-2.0 */
/* sealer.c - test module: a header on all that leaves, and a note of what became of it. */
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>
#include <time.h>

struct sealer {
	bool fail, flushes;
	const char *file;
	int64_t wait;
};

static const struct pn_option sealer_options[] = {
	PN_OPT_BOOL("fail", struct sealer, fail, "no", 0, "Fault."),
	PN_OPT_STRING("file", struct sealer, file, NULL, PN_PATH, "Where outcomes are noted."),
	PN_OPT_BOOL("flushes", struct sealer, flushes, "no", 0, "Note flushes as well."),
	PN_OPT_DURATION("wait", struct sealer, wait, "0", 0, 60000, 0, "So long for an outcome."),
	PN_OPT_END,
};

/* FNV-1a. */
static uint32_t
digest(struct pn_slice bytes)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < bytes.len; i++)
		hash = (hash ^ (unsigned char)bytes.data[i]) * 16777619u;
	return hash;
}

static struct pn_verdict
sealer_on_seal(struct pn_call *call, struct pn_txn *txn)
{
	const struct sealer *cfg = pn_settings(call);
	char text[100], body[16];
	int r;

	snprintf(text, sizeof(text), "%zu %s plan %d", pn_group_number(txn), pn_group_method(txn),
	    pn_txn_plan_number(txn));
	snprintf(body, sizeof(body), "%08x", (unsigned)digest(pn_txn_body(txn)));
	if (cfg->fail)
		return pn_fault(call, -EIO, "broken on purpose");
	if (pn_body_splice(call, 0, 0, pn_slice_of("x")) != -EPERM)
		return pn_fault(call, 0, "may change the body");
	r = pn_header_prepend(call, "X-Seal", text);
	if (r == 0)
		r = pn_header_append(call, "X-Seal-Body", body);
	return r < 0 ? pn_fault(call, r, "cannot seal") : pn_pass();
}

static int
note(const struct sealer *cfg, const char *line)
{
	FILE *file = cfg->file ? fopen(cfg->file, "a") : NULL;

	if (!file)
		return cfg->file ? -errno : 0;
	fprintf(file, "%s\n", line);
	return fclose(file) == 0 ? 0 : -errno;
}

static struct pn_verdict
sealer_on_outcome(struct pn_call *call, struct pn_txn *txn)
{
	static const char *const fates[] = { "delivered", "deferred", "failed", "replanned" };
	const struct sealer *cfg = pn_settings(call);
	const struct timespec wait = { cfg->wait / 1000, cfg->wait % 1000 * 1000000 };
	const struct pn_outcome *outcome = pn_txn_outcome(txn);
	char line[400];

	nanosleep(&wait, NULL);
	snprintf(line, sizeof(line), "%s %s %s plan %u %s", fates[outcome->fate],
	    pn_txn_recipient(txn), outcome->method, outcome->plan,
	    outcome->reply ? outcome->reply : "-");
	return note(cfg, line) < 0 ? pn_fault(call, -EIO, "cannot note") : pn_pass();
}

static struct pn_verdict
sealer_on_tick(struct pn_call *call, struct pn_txn *txn)
{
	return note(pn_settings(call), "tick") < 0 ? pn_fault(call, -EIO, "cannot note")
						   : pn_pass();
}

static struct pn_verdict
sealer_on_flush(struct pn_call *call, struct pn_txn *txn)
{
	const struct sealer *cfg = pn_settings(call);

	return cfg->flushes && note(cfg, "flush") < 0 ? pn_fault(call, -EIO, "cannot note")
						      : pn_pass();
}

static const struct pn_hook sealer_hooks[] = {
	{ PN_STAGE_SEAL, PN_QUICK, sealer_on_seal },
	{ PN_STAGE_OUTCOME, 0, sealer_on_outcome },
	{ PN_STAGE_TICK, 0, sealer_on_tick },
	{ PN_STAGE_FLUSH, 0, sealer_on_flush },
	PN_HOOK_END,
};

PN_MODULE(sealer) = {
	PN_MODULE_HEAD,
	.name = "sealer",
	.summary = "Seals what leaves.",
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct sealer),
	.settings = sealer_options,
	.hooks = sealer_hooks,
};
