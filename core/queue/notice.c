/* SPDX-License-Identifier: Apache-2.0 */
/*
 * notice.c - tells the sender what became of recipients (RFC 3461, 3464): one report per round.
 *
 * Called by outcome.c for each recipient and by queue.c when a round has ended. The report is an
 * item of its own with a null sender; only when it is durable do the failures become final, so that
 * a crash in between sends a report twice rather than never. Must never report to a null sender.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/mail/dsn.h>
#include <core/queue/inside.h>
#include <core/smtp/reply.h>
#include <errno.h>
#include <stdlib.h>

/* Above it a report quotes the header alone. */
#define QUOTE_MOST    ((size_t)64 * 1024)

#define TLS_TEXT_SIZE 96

struct notice {
	struct load_waiter waiter; /* first */
	struct job job;
	struct mail_bytes *bytes; /* held while the job reads of them */
	char *front;              /* of what is quoted, where it had to be read */
	size_t front_len;
	struct queued *queued;
	GArray *recipients;  /* struct told */
	struct item *report; /* while it is sealed */
};

struct told {
	uint32_t index;
	enum dsn_action action;
	char status[REPLY_ENHANCED_SIZE];
	char tls[TLS_TEXT_SIZE]; /* "": not known */
};

bool
notice_is_wanted(const struct item *item, uint32_t index, enum dsn_action action)
{
	static const uint32_t asked[] = {
		[DSN_FAILED] = MAIL_NOTIFY_FAILURE,
		[DSN_DELAYED] = MAIL_NOTIFY_DELAY,
		[DSN_DELIVERED] = MAIL_NOTIFY_SUCCESS,
		[DSN_RELAYED] = MAIL_NOTIFY_SUCCESS,
	};
	uint32_t notify = item->recipients[index].envelope->notify;

	if (*item->envelope.sender == '\0' || notify & MAIL_NOTIFY_NEVER)
		return false;
	if (notify == 0)
		return action == DSN_FAILED || action == DSN_DELAYED;
	return (notify & asked[action]) != 0;
}

/* "5.1.1" out of "550 5.1.1 text", where it fits the reply's class. */
static void
read_status(const char *reply, enum dsn_action action, char ret[REPLY_ENHANCED_SIZE])
{
	char class = action == DSN_FAILED ? '5' : action == DSN_DELAYED ? '4' : '2';
	size_t len = 0;

	g_snprintf(ret, REPLY_ENHANCED_SIZE, "%c.0.0", class);
	if (!reply || strlen(reply) < 5)
		return;
	reply += 4;
	while (reply[len] == '.' || (reply[len] >= '0' && reply[len] <= '9'))
		len++;
	if (reply[len] == ' ' && len >= 5 && len < REPLY_ENHANCED_SIZE && reply[1] == '.' &&
	    *reply == class) {
		memcpy(ret, reply, len);
		ret[len] = '\0';
	}
}

static struct notice *
new_notice(struct queued *queued)
{
	struct notice *notice = g_new0(struct notice, 1);

	notice->queued = queued;
	notice->recipients = g_array_new(FALSE, FALSE, sizeof(struct told));
	return notice;
}

void
notice_add(struct queued *queued, uint32_t index, enum dsn_action action, const char *status)
{
	struct told told = { .index = index, .action = action };

	if (!queued->notice)
		queued->notice = new_notice(queued);
	if (status)
		g_strlcpy(told.status, status, sizeof(told.status));
	else
		read_status(queued->item->recipients[index].last_reply, action, told.status);
	g_array_append_val(queued->notice->recipients, told);
}

void
notice_add_delivered(
    struct queued *queued, uint32_t index, enum dsn_action action, const struct tls_facts *tls)
{
	struct told *told;

	notice_add(queued, index, action, NULL);
	told = &g_array_index(
	    queued->notice->recipients, struct told, queued->notice->recipients->len - 1);
	if (!tls)
		return;
	if (tls->version)
		g_snprintf(told->tls, sizeof(told->tls), "%s with %s, %d bits", tls->version,
		    tls->cipher ? tls->cipher : "an unknown cipher", tls->bits);
	else
		g_strlcpy(told->tls, "none", sizeof(told->tls));
}

void
notice_free(struct notice **notice)
{
	if (!*notice)
		return;
	g_array_free((*notice)->recipients, TRUE);
	item_free(&(*notice)->report);
	mail_bytes_release(&(*notice)->bytes);
	g_free((*notice)->front);
	g_free(*notice);
	*notice = NULL;
}

/* ---- the end ----------------------------------------------------------------------------------
 */

/* A recipient who was told of has failed for good, or waits for the next attempt. */
static void
settle_one(struct queued *queued, const struct told *told)
{
	struct item_recipient *recipient = &queued->item->recipients[told->index];

	if (told->action == DSN_DELAYED)
		recipient->state = ITEM_WAITING;
	if (told->action == DSN_FAILED) {
		recipient->state = ITEM_FAILED;
		queued->queue->figures.failed++;
		queued->item->unfinished--;
		change_end_hold(queued, told->index);
	}
}

/* There is no notice: what it is about did not become final and is tried again. */
static void
retry_one(struct queued *queued, const struct told *told)
{
	struct item_recipient *recipient = &queued->item->recipients[told->index];

	if (told->action != DSN_FAILED && told->action != DSN_DELAYED)
		return;
	recipient->state = ITEM_WAITING;
	if (told->action == DSN_DELAYED)
		recipient->last_attempt_us = 0; /* the next one counts as the first that is late */
	if (told->action == DSN_FAILED)
		recipient->due_us = clock_wall_us() + queued->queue->settings.retry_first_ms * 1000;
}

static void
end(struct queued *queued, int r)
{
	GArray *told = queued->notice_sent->recipients;
	uint32_t *indices = g_new(uint32_t, told->len);

	for (guint i = 0; i < told->len; i++) {
		const struct told *one = &g_array_index(told, struct told, i);

		indices[i] = one->index;
		if (r < 0)
			retry_one(queued, one);
		else
			settle_one(queued, one);
	}
	spool_mark(queued->queue->parts.spool, queued->item, indices, told->len);
	g_free(indices);
	notice_free(&queued->notice_sent);
	queue_settle(queued);
}

static void
on_durable(void *arg, int r, const struct item *report)
{
	struct queued *queued = arg;

	if (r < 0 && r != -ECANCELED)
		log_event(PN_LOG_WARNING, "notice-not-written", "id", item_log_id(queued->item),
		    "reason", strerror(-r), NULL);
	else if (r == 0)
		log_event(PN_LOG_NOTICE, "notice", "id", item_log_id(queued->item), "notice",
		    report->id, "to", report->envelope.recipients[0].address, NULL);
	end(queued, r);
}

/* ---- the report -------------------------------------------------------------------------------
 */

static void
fill_recipients(const struct queued *queued, struct dsn_recipient *ret)
{
	const struct item *item = queued->item;
	GArray *told = queued->notice_sent->recipients;
	int64_t expiry = item->accepted_us + queued->queue->settings.give_up_ms * 1000;

	for (guint i = 0; i < told->len; i++) {
		const struct told *one = &g_array_index(told, struct told, i);
		const struct item_recipient *recipient = &item->recipients[one->index];

		ret[i] = (struct dsn_recipient){
			.recipient = recipient->envelope,
			.action = one->action,
			.status = one->status,
			.diagnostic = recipient->last_reply,
			.remote = recipient->last_remote,
			.last_attempt_us = recipient->last_attempt_us,
			.will_retry_until_us = one->action == DSN_DELAYED ? expiry : 0,
			.plan = &recipient->plan,
			.tls = one->tls[0] ? one->tls : NULL,
		};
	}
}

/* Held as it came, and somebody wants protection for it. */
static bool
is_unprotected(const struct item *item, uint32_t index)
{
	return item->resume && (item->wanted || item->want.wanted > 0 ||
				   item->envelope.recipients[index].want.wanted > 0);
}

static struct mail_rendering
quoted(const struct notice *notice)
{
	return item_rendering(
	    notice->queued->item, g_array_index(notice->recipients, struct told, 0).index);
}

/* Of one behind another the beginning, which is more than is quoted, is not in memory. */
static bool
has_to_be_read(const struct notice *notice)
{
	const struct mail_bytes *bytes = notice->queued->item->bytes;
	struct mail_rendering rendering = quoted(notice);

	return bytes && rendering.offset > 0 && rendering.offset + rendering.len > bytes->len;
}

/* Of a large message the front, which is more than is quoted. */
static struct pn_slice
original(const struct notice *notice)
{
	const struct mail_bytes *bytes = notice->queued->item->bytes;
	struct mail_rendering rendering = quoted(notice);

	if (has_to_be_read(notice))
		return pn_slice(notice->front, notice->front_len);
	return rendering.offset + rendering.len <= bytes->len
		   ? pn_slice(bytes->data + rendering.offset, rendering.len)
		   : pn_slice(bytes->data, bytes->len);
}

/*
 * What the recipients of this report were to get, and nobody else's rendering. The way back is not
 * what was demanded for them, so of mail with a demand the header alone is quoted, and nothing of
 * mail that could not be protected at all, or was held before that was tried.
 */
static void
quote(const struct notice *notice, struct dsn_report *ret)
{
	const struct item *item = notice->queued->item;
	uint32_t index = g_array_index(notice->recipients, struct told, 0).index;
	const struct mail_plan *plan = &item->recipients[index].plan;
	struct mail_rendering rendering = item_rendering(item, index);

	/* Without it where the spool's copy is damaged. */
	if (item->bytes && !plan->unserved && !is_unprotected(item, index))
		ret->original = original(notice);
	ret->quote_most = item->facts.requiretls || mail_demand_is_any(&plan->demand) ||
				  ret->original.len < rendering.len
			      ? 0
			      : QUOTE_MOST;
}

static int
write_report(const struct queued *queued, struct item *report)
{
	const struct item *item = queued->item;
	GArray *told = queued->notice_sent->recipients;
	struct dsn_recipient *recipients = g_new0(struct dsn_recipient, told->len);
	struct dsn_report facts = {
		.relay_name = queued->queue->settings.relay_name,
		.id = report->id,
		.about_id = item_log_id(item),
		.wall_us = report->accepted_us,
		.arrival_us = item->accepted_us,
		.envelope = &item->envelope,
		.recipients = recipients,
		.tls_optional = item->facts.tls_optional,
		.count = told->len,
	};
	int r;

	quote(queued->notice_sent, &facts);
	fill_recipients(queued, recipients);
	r = dsn_write(&facts, &report->bytes, &report->needs_utf8);
	g_free(recipients);
	return r;
}

static void
make_report(struct queued *queued, struct item *report)
{
	struct mail_envelope *envelope = &report->envelope;
	struct mail_recipient *to;

	item_id_new(report->id);
	report->accepted_us = clock_wall_us();
	report->facts.client_address = "local";
	report->facts.client_literal = "localhost";
	report->facts.listener = report->facts.helo = "";
	report->facts.esmtp = true;
	/* RFC 8689 sections 3 and 5 */
	report->facts.requiretls = queued->item->facts.requiretls;
	report->facts.tls_optional = queued->item->facts.tls_optional;
	report->effects_done = true;
	envelope->sender = envelope->original_sender = "";
	to = mail_envelope_add(envelope, &report->arena, queued->item->envelope.sender);
	to->notify = MAIL_NOTIFY_NEVER;
	item_prepare(report);
}

static void
give(struct queued *queued, struct item *report)
{
	report->facts.smtputf8 = report->needs_utf8;
	report->facts.eightbit = report->has_eightbit;
	queue_accept(queued->queue, report, on_durable, queued);
}

static void
sealed(void *arg, int r)
{
	struct queued *queued = arg;
	struct queue *queue = queued->queue;
	struct item *report = queued->notice_sent->report;

	queued->notice_sent->report = NULL;
	if (r < 0) {
		item_free(&report);
		on_durable(queued, r, NULL);
	} else {
		give(queued, report);
	}
	queue_end(queue);
}

static void
seal(struct queued *queued, struct item *report)
{
	const struct queue_parts *parts = &queued->queue->parts;

	report->size = mail_bytes_size(report->bytes);
	report->has_eightbit = mail_bytes_has_eightbit(report->bytes, 0);
	if (!parts->seal) {
		give(queued, report);
		return;
	}
	queue_begin(queued->queue);
	queued->notice_sent->report = report;
	parts->seal(parts->arg, report, sealed, queued);
}

static void
report(struct queued *queued)
{
	struct item *report = item_new();
	int r;

	make_report(queued, report);
	r = write_report(queued, report);
	if (r < 0) {
		item_free(&report);
		on_durable(queued, r, NULL);
		return;
	}
	seal(queued, report);
}

static struct notice *
notice_of(struct job *job)
{
	return (struct notice *)(void *)((char *)job - offsetof(struct notice, job));
}

/* What cannot be read is not quoted. */
static void
read_front(struct job *job)
{
	struct notice *notice = notice_of(job);
	struct mail_rendering rendering = quoted(notice);
	size_t len = MIN(rendering.len, QUOTE_MOST + 1);

	notice->front = g_malloc(len);
	if (mail_bytes_read(notice->bytes, rendering.offset, notice->front, len) == 0)
		notice->front_len = len;
}

static void
front_read(struct job *job)
{
	struct queued *queued = notice_of(job)->queued;
	struct queue *queue = queued->queue;

	queued->pins--;
	report(queued);
	queue_end(queue);
}

static void
loaded(struct load_waiter *waiter, int r)
{
	struct notice *notice = (struct notice *)(void *)waiter;
	struct queued *queued = notice->queued;
	struct queue *queue = queued->queue;

	/* What cannot be read, now or ever, is reported without it. */
	if (r < 0 && r != -EIO && r != -EBADMSG) {
		on_durable(queued, r, NULL);
	} else if (has_to_be_read(notice)) {
		notice->bytes = mail_bytes_hold(queued->item->bytes);
		notice->job = (struct job){
			.loop = queue->parts.loop, .work = read_front, .done = front_read
		};
		queued->pins++; /* the quote says where in item->bytes it stands */
		queue_begin(queue);
		jobs_submit(queue->parts.jobs, &notice->job);
	} else {
		report(queued);
	}
}

/* A report quotes one rendering, in one way. */
static bool
is_quoted_alike(const struct item *item, const struct told *one, const struct told *other)
{
	const struct mail_plan *plan = &item->recipients[one->index].plan;
	const struct mail_plan *also = &item->recipients[other->index].plan;

	return plan->rendering == also->rendering && !plan->unserved == !also->unserved &&
	       mail_demand_is_any(&plan->demand) == mail_demand_is_any(&also->demand);
}

/* Those who are quoted otherwise than the first wait for the next report. */
static struct notice *
split(struct notice *notice)
{
	const struct told *first = &g_array_index(notice->recipients, struct told, 0);
	struct notice *rest = NULL;

	for (guint i = 1; i < notice->recipients->len;) {
		const struct told *one = &g_array_index(notice->recipients, struct told, i);

		if (is_quoted_alike(notice->queued->item, first, one)) {
			i++;
			continue;
		}
		if (!rest)
			rest = new_notice(notice->queued);
		g_array_append_val(rest->recipients, *one);
		g_array_remove_index(notice->recipients, i);
	}
	return rest;
}

void
notice_send(struct queued *queued)
{
	struct notice *notice = queued->notice;

	queued->notice = split(notice);
	queued->notice_sent = notice;
	notice->waiter.loaded = loaded;
	if (queued->item->bytes)
		loaded(&notice->waiter, 0);
	else
		load_start(queued, &notice->waiter);
}
