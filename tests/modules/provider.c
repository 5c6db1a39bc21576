/* SPDX-License-Identifier: Apache-2.0 */
/* provider.c - test module: two methods that make a body unreadable, or refuse to. */
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>

struct provider {
	const char *how, *sender;
	bool deposit;
	const char *refuse;
	const char *file;
};

static const struct pn_option provider_options[] = {
	PN_OPT_STRING("how", struct provider, how, "render", 0,
	    "render, reject, defer, fault, nothing, bare."),
	PN_OPT_STRING("sender", struct provider, sender, NULL, 0, "Return path of renderings."),
	PN_OPT_BOOL("deposit", struct provider, deposit, "no", 0, "Stage an effect per group."),
	PN_OPT_STRING("file", struct provider, file, NULL, PN_PATH, "Where deposits appear."),
	PN_OPT_STRING("refuse", struct provider, refuse, NULL, 0,
	    "Refuse members whose address begins with it."),
	PN_OPT_END
};

/* The body in hexadecimal, which nobody greps for. */
static int
write_body(struct pn_call *call, struct pn_slice body)
{
	static const char digits[] = "0123456789abcdef";
	char line[66];
	int r = 0;

	for (size_t at = 0; at < body.len && r == 0; at += 32) {
		size_t len = 0;

		for (size_t i = at; i < at + 32 && i < body.len; i++) {
			line[len++] = digits[(unsigned char)body.data[i] >> 4];
			line[len++] = digits[(unsigned char)body.data[i] & 15];
		}
		line[len++] = '\r';
		line[len++] = '\n';
		r = pn_render_body(call, pn_slice(line, len));
	}
	return r;
}

static int
write_group(struct pn_call *call, struct pn_txn *txn)
{
	char text[1000] = "";
	size_t len = 0;

	for (size_t i = 0; i < pn_group_count(txn) && len < sizeof(text) - 1; i++) {
		struct pn_slice choice = pn_group_choice(txn, i);

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s(%.*s)", i ? " " : "",
		    pn_group_recipient(txn, i), (int)choice.len, choice.data);
	}
	return pn_render_header(call, "X-Group", text);
}

static int
deposit(struct pn_call *call, struct pn_txn *txn)
{
	char name[32];

	snprintf(name, sizeof(name), "deposit-%zu", pn_group_number(txn));
	return pn_effect_stage(call, name, pn_slice_of(pn_group_recipient(txn, 0)));
}

/* How many. */
static size_t
refuse(struct pn_call *call, struct pn_txn *txn, const char *prefix)
{
	size_t count = 0;

	for (size_t i = 0; i < pn_group_count(txn); i++)
		if (!strncmp(pn_group_recipient(txn, i), prefix, strlen(prefix)) &&
		    pn_group_refuse(
			call, i, "the key of %s is broken", pn_group_recipient(txn, i)) == 0)
			count++;
	return count;
}

static struct pn_verdict
provider_render(struct pn_call *call, struct pn_txn *txn)
{
	static const char *const less[] = { "content-type", "Subject", NULL };
	const struct provider *cfg = pn_settings(call);
	int r;

	if (!strcmp(cfg->how, "reject"))
		return pn_reject(call, 550, "5.7.3", "No key fits");
	if (!strcmp(cfg->how, "defer"))
		return pn_defer(call, 451, "4.7.3", "Keys are away");
	if (!strcmp(cfg->how, "fault"))
		return pn_fault(call, -EIO, "broken on purpose");
	if (!strcmp(cfg->how, "nothing"))
		return pn_pass();
	if (cfg->refuse && refuse(call, txn, cfg->refuse) == pn_group_count(txn))
		return pn_pass();
	r = pn_render_copy_header(call, less);
	if (r == 0)
		r = pn_render_header(call, "X-Method", pn_group_method(txn));
	if (r == 0)
		r = write_group(call, txn);
	if (r == 0 && !strcmp(cfg->how, "bare"))
		r = pn_render_body(call, pn_slice_of("bare\nnewline"));
	if (r == 0)
		r = write_body(call, pn_txn_bytes(txn));
	if (r == 0 && pn_render_header(call, "X-Late", "no") != -EINVAL)
		r = -EPROTO;
	if (r == 0 && cfg->sender)
		r = pn_render_sender(call, cfg->sender);
	if (r == 0 && cfg->deposit)
		r = deposit(call, txn);
	return r < 0 ? pn_fault(call, r, "cannot render") : pn_pass();
}

static struct pn_verdict
provider_on_committed(struct pn_call *call, struct pn_txn *txn)
{
	const struct provider *cfg = pn_settings(call);
	struct pn_slice bytes;
	char name[32];
	FILE *file = cfg->file ? fopen(cfg->file, "a") : NULL;

	for (int i = 1; file; i++) {
		snprintf(name, sizeof(name), "deposit-%d", i);
		if (!pn_effect(call, name, &bytes))
			break;
		fprintf(file, "%s %d %s %.*s\n", pn_txn_id(txn), pn_txn_plan_number(txn), name,
		    (int)bytes.len, bytes.data);
	}
	if (file)
		fclose(file);
	return pn_pass();
}

static const struct pn_provider provider_methods[] = {
	{ "fake", 0, 0, provider_render },
	{ "fake-each", PN_ONE_PER_RECIPIENT, 0, provider_render },
	{ NULL, 0, 0, NULL },
};

static const struct pn_hook provider_hooks[] = {
	{ PN_STAGE_COMMITTED, 0, provider_on_committed },
	PN_HOOK_END,
};

PN_MODULE(provider) = {
	PN_MODULE_HEAD,
	.name = "provider",
	.summary = "Makes bodies unreadable.",
	.settings_size = sizeof(struct provider),
	.settings = provider_options,
	.hooks = provider_hooks,
	.providers = provider_methods,
};
