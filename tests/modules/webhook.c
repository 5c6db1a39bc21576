/* SPDX-License-Identifier: Apache-2.0 */
/*
 * webhook.c - test module and example: asks a web service about every message.
 *
 * The service gets a form with the message's id, sender and size. It answers 2xx for yes or 403 for
 * no; anything else, and no answer in time, is a fault.
 */
#include <errno.h>
#include <postern/module.h>
#include <stdio.h>

struct webhook {
	struct pn_http_endpoint service;
	bool strangers;
};

static const struct pn_option webhook_service[] = { PN_HTTP_OPTIONS, PN_OPT_END };

static const struct pn_option webhook_options[] = { PN_OPT_GROUP("service", struct webhook, service,
							struct pn_http_endpoint, webhook_service,
							PN_REQUIRED, "The service that is asked."),
	PN_OPT_BOOL("strangers", struct webhook, strangers, "no", 0, "Only in the internet."),
	PN_OPT_END };

static const struct pn_metric_about webhook_answers = {
	PN_METRIC_HEAD,
	.type = PN_METRIC_COUNTER,
	.name = "answers_total",
	.help = "Answers of the service, by status.",
	.labels = "status",
};

static void
webhook_check(struct pn_check *check, const void *settings)
{
	const struct webhook *cfg = settings;

	pn_http_check(check, "service", &cfg->service);
}

static void
count(struct pn_call *call, int status)
{
	char text[12];

	snprintf(text, sizeof(text), "%d", status);
	pn_metric_add(pn_metric(call, &webhook_answers, PN_LABELS(text), NULL), 1);
}

static struct pn_verdict
webhook_on_message(struct pn_call *call, struct pn_txn *txn)
{
	static const struct pn_http_field fields[] = {
		{ "Content-Type", "application/x-www-form-urlencoded", NULL },
		{ NULL, NULL, NULL },
	};
	const struct webhook *cfg = pn_settings(call);
	struct pn_http_request request = {
		PN_HTTP_HEAD,
		.flags = cfg->strangers ? PN_HTTP_PUBLIC : 0,
		.endpoint = &cfg->service,
		.fields = fields,
	};
	const struct pn_http_response *response;
	struct pn_error err;
	char form[2000];
	int r;

	snprintf(form, sizeof(form), "id=%s&sender=%s&size=%zu", pn_txn_id(txn),
	    pn_http_escape(call, pn_slice_of(pn_txn_sender(txn))), pn_txn_size(txn));
	request.body = pn_slice_of(form);
	r = pn_http(call, &request, &response, &err);
	if (r == -EROFS) /* a trial, such as posternctl explain */
		return pn_pass_because(call, "%s", err.text);
	if (r < 0)
		return pn_fault(call, r, "%s", err.text);
	count(call, pn_http_status(response));
	if (pn_http_status(response) == 403)
		return pn_reject(call, 550, "5.7.1", "Refused by the policy service");
	if (pn_http_status(response) / 100 != 2)
		return pn_fault(call, -EPROTO, "the service answers %d", pn_http_status(response));
	return pn_pass();
}

static const struct pn_hook webhook_hooks[] = {
	{ PN_STAGE_MESSAGE, 0, webhook_on_message },
	PN_HOOK_END,
};

PN_MODULE(webhook) = {
	PN_MODULE_HEAD,
	.name = "webhook",
	.summary = "Asks a web service about every message.",
	.settings_size = sizeof(struct webhook),
	.settings = webhook_options,
	.check = webhook_check,
	.hooks = webhook_hooks,
};
