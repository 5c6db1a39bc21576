/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_metrics.c - what the relay's lanes count, under the names that metrics have.
 *
 * Called by relay_control.c on the main loop. Lanes keep their figures without atomics; they are
 * asked for them, and the sums become metrics beside those that hooks and modules keep themselves.
 */
#include <core/base/metric.h>
#include <core/master/relay_metrics.h>
#include <stdlib.h>

#define TEXT_MOST (64u * 1024 * 1024)

static const struct pn_metric_about sessions = { PN_METRIC_HEAD, PN_METRIC_GAUGE, "sessions",
	"SMTP sessions that are open." };
static const struct pn_metric_about connections = { PN_METRIC_HEAD, PN_METRIC_COUNTER,
	"connections_total", "Connections from clients, by what became of them.", "result" };
static const struct pn_metric_about sessions_cut = { PN_METRIC_HEAD, PN_METRIC_COUNTER,
	"sessions_cut_total",
	"SMTP sessions that we ended: errors, floods of commands, slowness." };
static const struct pn_metric_about replies_delayed = { PN_METRIC_HEAD, PN_METRIC_COUNTER,
	"replies_delayed_total", "Replies kept back because of many errors." };
static const struct pn_metric_about auth = { PN_METRIC_HEAD, PN_METRIC_COUNTER, "auth_total",
	"AUTH exchanges, by result.", "result" };
static const struct pn_metric_about messages = { PN_METRIC_HEAD, PN_METRIC_COUNTER,
	"messages_total", "Messages from clients, accepted or refused after DATA.", "result" };
static const struct pn_metric_about recipients = { PN_METRIC_HEAD, PN_METRIC_COUNTER,
	"recipients_refused_total", "Recipients refused at RCPT." };
static const struct pn_metric_about queue = { PN_METRIC_HEAD, PN_METRIC_GAUGE, "queue_messages",
	"Messages in the queue, by what they do.", "state" };
static const struct pn_metric_about deliveries = { PN_METRIC_HEAD, PN_METRIC_COUNTER,
	"deliveries_total",
	"Recipients delivered, failed for good or planned again, attempts put off until later.",
	"result" };
static const struct pn_metric_about draining = { PN_METRIC_HEAD, PN_METRIC_GAUGE, "draining",
	"1 while posternctl drain keeps new mail out, else 0." };
static const struct pn_metric_about spool_commits = { PN_METRIC_HEAD, PN_METRIC_COUNTER,
	"spool_commits_total", "Synced writes of the spool." };
static const struct pn_metric_about spool_sync_failures = { PN_METRIC_HEAD, PN_METRIC_COUNTER,
	"spool_sync_failures_total", "Syncs of the spool that failed; the disk wants a look." };
static const struct pn_metric_about spool_segments = { PN_METRIC_HEAD, PN_METRIC_GAUGE,
	"spool_segments", "Files of the spool." };
static const struct pn_metric_about spool_live = { PN_METRIC_HEAD, PN_METRIC_GAUGE,
	"spool_live_bytes", "Bytes of the spool that unfinished messages take." };
static const struct pn_metric_about message_memory = { PN_METRIC_HEAD, PN_METRIC_GAUGE,
	"message_memory_bytes", "Memory that messages in hand take." };
static const struct pn_metric_about stuck_hooks = { PN_METRIC_HEAD, PN_METRIC_GAUGE, "hooks_stuck",
	"Hooks that did not return in time and still run, each on a thread of its own." };
static const struct pn_metric_about generation = { PN_METRIC_HEAD, PN_METRIC_GAUGE,
	"configuration_generation", "Number of the configuration in force, from 1." };
static const struct pn_metric_about uptime = { PN_METRIC_HEAD, PN_METRIC_GAUGE, "uptime_seconds",
	"Time since this relay process began." };
static const struct pn_metric_about build = { PN_METRIC_HEAD, PN_METRIC_GAUGE, "build_info",
	"Always 1; the version is the label.", "version" };

static const struct {
	const char *figure; /* in the answer to `status` */
	const struct pn_metric_about *about;
	const char *label;
} rows[] = {
	{ "sessions", &sessions, NULL },
	{ "connections", &connections, "accepted" },
	{ "connections_refused", &connections, "refused" },
	{ "sessions_cut", &sessions_cut, NULL },
	{ "replies_delayed", &replies_delayed, NULL },
	{ "auth_succeeded", &auth, "succeeded" },
	{ "auth_failed", &auth, "failed" },
	{ "accepted", &messages, "accepted" },
	{ "messages_refused", &messages, "refused" },
	{ "recipients_refused", &recipients, NULL },
	{ "waiting", &queue, "waiting" },
	{ "sending", &queue, "sending" },
	{ "delivered", &deliveries, "delivered" },
	{ "deferred", &deliveries, "deferred" },
	{ "replanned", &deliveries, "replanned" },
	{ "failed", &deliveries, "failed" },
	{ "draining", &draining, NULL },
	{ "spool_commits", &spool_commits, NULL },
	{ "spool_sync_failures", &spool_sync_failures, NULL },
	{ "spool_segments", &spool_segments, NULL },
	{ "spool_live_bytes", &spool_live, NULL },
	{ "message_memory", &message_memory, NULL },
	{ "stuck_hooks", &stuck_hooks, NULL },
	{ "generation", &generation, NULL },
	{ "uptime_seconds", &uptime, NULL },
};

static void
take_over(const json_t *status)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pn_metric *metric = metric_own(rows[i].about, rows[i].label, NULL);
		const json_t *figure = json_object_get(status, rows[i].figure);
		double value = json_is_true(figure) ? 1 : (double)json_integer_value(figure);

		pn_metric_set(metric, value);
		metric_set_counter(metric, value);
	}
	pn_metric_set(metric_own(&build, POSTERN_VERSION, NULL), 1);
}

json_t *
relay_metrics_text(const json_t *status)
{
	struct buf text = BUF_INIT(TEXT_MOST);
	json_t *ret = NULL;

	take_over(status);
	if (metric_text(&text) == 0)
		ret = json_pack("{s:s%}", "text", text.data, text.len);
	buf_free(&text);
	return ret;
}

/* ---- as rows --------------------------------------------------------------------------------- */

struct samples {
	json_t *rows;
	const char *type;
};

static void
begin_metric(void *arg, const char *name, const char *type, const char *help)
{
	((struct samples *)arg)->type = type;
}

static void
add_sample(void *arg, const char *name, const char *suffix, const struct metric_label *labels,
    size_t count, double value)
{
	struct samples *samples = arg;
	json_t *set = json_object();

	for (size_t i = 0; i < count; i++)
		json_object_set_new(set, labels[i].name, json_string(labels[i].value));
	json_array_append_new(
	    samples->rows, json_pack("{s:s+, s:s, s:o, s:f}", "metric", name, suffix, "type",
			       samples->type, "labels", set, "value", value));
}

json_t *
relay_metrics_samples(const json_t *status)
{
	struct samples samples = { json_array(), "" };
	const struct metric_reader reader = { begin_metric, add_sample, &samples };

	take_over(status);
	metric_each(&reader);
	return json_pack("{s:o}", "samples", samples.rows);
}
