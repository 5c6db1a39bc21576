/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tuner.c - test module: settings of every kind for scopes, and something prepared from them.
 *
 * Its hooks say in the trace what they see, its `prepare` counts: "value/words/level/map.. #made".
 * A value of "crash" or "hang" is what `prepare` does in a relay.
 */
#include <errno.h>
#include <postern/module.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct tuner_limits {
	int64_t level, fixed;
};
struct tuner {
	const char *value;
	struct pn_strings words;
	struct tuner_limits limits, depths;
	struct pn_map map; /* struct pn_strings */
	const struct pn_secret *password;
	const char *one;
	bool bad;
};

static const struct pn_option limit_options[] = {
	PN_OPT_INT("level", struct tuner_limits, level, "1", 0, 99, PN_SCOPED, "A level."),
	PN_OPT_INT("fixed", struct tuner_limits, fixed, "1", 0, 99, 0, "One for all."), PN_OPT_END
};
static const struct pn_option depth_options[] = {
	PN_OPT_INT("level", struct tuner_limits, level, "1", 0, 99, 0, "A level."), PN_OPT_END
};
static const struct pn_option words_options[] = { { .help = "Words.", .type = PN_TYPE_STRINGS },
	PN_OPT_END };
static const struct pn_option tuner_options[] = { PN_OPT_STRING("value", struct tuner, value, NULL,
						      PN_REQUIRED | PN_SCOPED, "A text."),
	PN_OPT_STRINGS("words", struct tuner, words, "[one, two]", PN_SCOPED, "Words."),
	PN_OPT_GROUP("limits", struct tuner, limits, struct tuner_limits, limit_options, 0,
	    "Of which one may be overridden."),
	PN_OPT_GROUP("depths", struct tuner, depths, struct tuner_limits, depth_options, PN_SCOPED,
	    "Overridden with all that is in it."),
	PN_OPT_MAP("map", struct tuner, map, struct pn_strings, words_options, PN_SCOPED, "A map."),
	PN_OPT_SECRET("password", struct tuner, password, PN_SCOPED, "A secret."),
	PN_OPT_STRING("one", struct tuner, one, NULL, PN_FILE_ONLY, "One for all."),
	PN_OPT_BOOL("bad", struct tuner, bad, "no", PN_SCOPED, "Refused by the module's check."),
	PN_OPT_END };

static void
tuner_check(struct pn_check *check, const void *settings)
{
	const struct tuner *cfg = settings;

	if (cfg->bad)
		pn_complain(check, "bad", "is refused");
	if (strcmp(cfg->value, "odd") == 0)
		pn_warn(check, "value", "is odd");
}

/* In a relay alone: the configuration is to pass. */
static void
misbehave(const char *value)
{
	const struct timespec long_time = { .tv_sec = 600 };
	char name[16] = "";
	FILE *comm = fopen("/proc/self/comm", "r"); /* the main thread's */
	bool relay = comm && fgets(name, sizeof(name), comm) && !strcmp(name, "postern-relay\n");

	if (comm)
		fclose(comm);
	if (relay && strcmp(value, "crash") == 0)
		abort();
	if (relay && strcmp(value, "hang") == 0)
		nanosleep(&long_time, NULL);
}

static int
tuner_prepare(struct pn_check *check, const void *settings, void **ret)
{
	static atomic_int made; /* counted over all settings: what the tests are about */
	const struct tuner *cfg = settings;
	int *number = malloc(sizeof(*number));

	if (!number)
		return -ENOMEM;
	misbehave(cfg->value);
	if (strcmp(cfg->value, "unpreparable") == 0) {
		free(number);
		return -EDOM;
	}
	*number = atomic_fetch_add(&made, 1) + 1;
	*ret = number;
	return 0;
}

static struct pn_verdict
tuner_on_any(struct pn_call *call, struct pn_txn *txn)
{
	const struct tuner *cfg = pn_settings(call);
	const struct pn_strings *lists = cfg->map.values;
	const int *number = pn_derived(call);
	struct pn_slice password = pn_secret_bytes(cfg->password);
	char text[300];
	int at = snprintf(text, sizeof(text), "%s/%s/%d/%d/%d", cfg->value,
	    cfg->words.count ? cfg->words.items[cfg->words.count - 1] : "-", (int)cfg->limits.level,
	    (int)cfg->depths.level, (int)password.len);

	for (size_t i = 0; i < cfg->map.count && at < (int)sizeof(text); i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "/%s=%s", cfg->map.keys[i],
		    lists[i].count ? lists[i].items[0] : "-");
	return pn_pass_because(call, "%s #%d", text, *number);
}

static const struct pn_hook tuner_hooks[] = {
	{ PN_STAGE_HELO, PN_QUICK, tuner_on_any },
	{ PN_STAGE_SENDER, PN_QUICK, tuner_on_any },
	{ PN_STAGE_MESSAGE, PN_QUICK, tuner_on_any },
	PN_HOOK_END,
};

PN_MODULE(tuner) = {
	PN_MODULE_HEAD,
	.name = "tuner",
	.summary = "Says what its settings are.",
	.settings_size = sizeof(struct tuner),
	.settings = tuner_options,
	.check = tuner_check,
	.prepare = tuner_prepare,
	.release = free,
	.hooks = tuner_hooks,
};
