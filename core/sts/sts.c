/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sts.c - what is known of domains' MTA-STS policies, and who asks.
 *
 * Called by queues on their loops and by the relay's main thread. Must never let a failure, of the
 * DNS, the policy host or the database, take away a policy that has not expired.
 */
#include "inside.h"
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/store/sts.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MOST 5000
#define FETCHERS     4
#define DUE_MS       60000
#define DUE_MOST     20
#define DAY_US       (INT64_C(24) * 3600 * 1000000)

/* ---- policies and answers -------------------------------------------------------------------- */

struct sts_held *
sts_held_new(struct sts_policy *policy)
{
	struct sts_held *held = g_new0(struct sts_held, 1);

	atomic_init(&held->references, 1);
	held->policy = *policy;
	*policy = (struct sts_policy){ 0 };
	held->text = sts_policy_print(&held->policy);
	return held;
}

struct sts_held *
sts_hold(struct sts_held *held)
{
	if (held)
		atomic_fetch_add(&held->references, 1);
	return held;
}

void
sts_release(struct sts_held **at)
{
	struct sts_held *held = *at;

	*at = NULL;
	if (!held || atomic_fetch_sub(&held->references, 1) > 1)
		return;
	sts_policy_clear(&held->policy);
	free(held->text);
	g_free(held);
}

void
sts_answer_clear(struct sts_answer *answer)
{
	sts_release(&answer->policy);
}

struct sts_answer
sts_answer_copy(const struct sts_answer *answer)
{
	struct sts_answer copy = *answer;

	sts_hold(copy.policy);
	return copy;
}

bool
sts_answer_equal(const struct sts_answer *one, const struct sts_answer *other)
{
	return one->known == other->known && one->mode == other->mode &&
	       one->overridden == other->overridden &&
	       strcmp(sts_answer_text(one), sts_answer_text(other)) == 0;
}

bool
sts_answer_allows(const struct sts_answer *answer, const char *host)
{
	return !answer->policy || answer->policy->policy.count == 0 ||
	       sts_policy_allows(&answer->policy->policy, host);
}

const struct sts_policy *
sts_answer_policy(const struct sts_answer *answer)
{
	return answer->policy ? &answer->policy->policy : NULL;
}

const char *
sts_answer_text(const struct sts_answer *answer)
{
	return answer->policy && answer->policy->text ? answer->policy->text : "";
}

/* ---- overrides ------------------------------------------------------------------------------- */

struct override {
	enum sts_mode mode;
	int64_t until_us;
	bool over; /* that it is over has been told */
};

/* With the lock held; NULL: none that holds. */
static const struct override *
find_override(const struct sts *sts, const char *domain)
{
	const struct override *override = g_hash_table_lookup(sts->overrides, domain);

	return override && override->until_us > clock_wall_us() ? override : NULL;
}

static void
take_override(void *arg, const struct sts_override *row)
{
	struct override *override = g_new0(struct override, 1);

	override->until_us = row->until_us;
	if (sts_mode_parse(pn_slice_of(row->mode), &override->mode) == 0)
		g_hash_table_replace(arg, g_strdup(row->domain), override);
	else
		g_free(override);
}

static int
read_overrides(struct sts *sts, struct pn_error *err)
{
	int64_t version;
	GHashTable *fresh;
	int r = sts_overrides_version(sts->parts.db, &version, err);

	if (r < 0 || version == sts->overrides_version)
		return r;
	fresh = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	r = sts_overrides_each(sts->parts.db, take_override, fresh, err);
	if (r == 0) {
		sts->overrides_version = version;
		pthread_mutex_lock(&sts->lock);
		g_hash_table_unref(sts->overrides);
		sts->overrides = g_hash_table_ref(fresh);
		pthread_mutex_unlock(&sts->lock);
		atomic_fetch_add(&sts->changes, 1);
	}
	g_hash_table_unref(fresh);
	return r;
}

static void
tell_ended_overrides(struct sts *sts)
{
	int64_t now = clock_wall_us();
	GHashTableIter iter;
	gpointer value;

	pthread_mutex_lock(&sts->lock);
	g_hash_table_iter_init(&iter, sts->overrides);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		struct override *override = value;
		bool over = override->until_us <= now;

		if (over != override->over)
			atomic_fetch_add(&sts->changes, 1);
		override->over = over;
	}
	pthread_mutex_unlock(&sts->lock);
}

/* ---- entries --------------------------------------------------------------------------------- */

bool
sts_entry_holds(const struct sts_entry *entry)
{
	return entry->policy && entry->expires_us > clock_wall_us();
}

static void
forget_entry(struct sts *sts, struct sts_entry *entry)
{
	g_queue_unlink(&sts->order, &entry->link);
	g_hash_table_remove(sts->entries, entry->domain);
	sts_release(&entry->policy);
	if (entry->lookup) /* at the end of all: nobody else has it any more */
		sts_lookup_free(entry->lookup);
	g_free(entry);
}

/* The database still has what is forgotten here. */
static void
make_room(struct sts *sts)
{
	GList *next;

	for (GList *link = sts->order.head; link && sts->order.length >= ENTRIES_MOST;
	     link = next) {
		struct sts_entry *entry = link->data;

		next = link->next;
		if (!entry->lookup && entry->requests.length == 0)
			forget_entry(sts, entry);
	}
}

static struct sts_entry *
get_entry(struct sts *sts, const char *domain)
{
	struct sts_entry *entry = g_hash_table_lookup(sts->entries, domain);

	if (entry) {
		g_queue_unlink(&sts->order, &entry->link);
	} else {
		make_room(sts);
		entry = g_new0(struct sts_entry, 1);
		entry->link.data = entry;
		entry->known = STS_KNOWN_NOT;
		g_queue_init(&entry->requests);
		g_strlcpy(entry->domain, domain, sizeof(entry->domain));
		g_hash_table_insert(sts->entries, entry->domain, entry);
	}
	g_queue_push_tail_link(&sts->order, &entry->link);
	return entry;
}

/* The answer as the entry has it, under what an administrator has said. */
static struct sts_answer
answer_of(const struct sts *sts, const struct sts_entry *entry, const struct override *override)
{
	struct sts_answer answer = { .known = entry->known };

	if (sts_entry_holds(entry)) {
		answer.known = STS_KNOWN_POLICY;
		answer.policy = sts_hold(entry->policy);
		answer.mode = entry->policy->policy.mode;
	}
	if (override) {
		answer.known = STS_KNOWN_POLICY;
		answer.overridden = true;
		answer.mode = override->mode;
	}
	g_strlcpy(answer.why, entry->why, sizeof(answer.why));
	return answer;
}

/* ---- looking --------------------------------------------------------------------------------- */

static bool
has_none(const struct sts *sts, const char *domain)
{
	return !sts->settings.enabled || *domain == '[' || !*domain ||
	       strlen(domain) >= DNS_NAME_SIZE;
}

bool
sts_look(struct sts *sts, const char *domain, struct sts_answer *ret)
{
	const struct override *override;
	struct sts_entry *entry;
	bool fresh, sure;

	*ret = (struct sts_answer){ .known = STS_KNOWN_NONE };
	pthread_mutex_lock(&sts->lock);
	if (has_none(sts, domain)) {
		pthread_mutex_unlock(&sts->lock);
		return true;
	}
	entry = get_entry(sts, domain);
	override = find_override(sts, domain);
	fresh = entry->fresh_ms > clock_monotonic_ms();
	if (!fresh && !entry->lookup)
		sts_lookup_start(sts, entry);
	/* Behind an override for any other mode the domain's own hosts are wanted. */
	sure = fresh || sts_entry_holds(entry) || (override && override->mode == STS_NONE);
	*ret = answer_of(sts, entry, override);
	if (!sure && !override)
		ret->known = STS_KNOWN_NOT;
	pthread_mutex_unlock(&sts->lock);
	return sure;
}

uint64_t
sts_changes(struct sts *sts)
{
	return atomic_load(&sts->changes);
}

/* ---- asking ---------------------------------------------------------------------------------- */

struct sts_request {
	struct loop_task task; /* first */
	struct loop_timer timer;
	GList link; /* in the entry's `requests`, where `entry` is set */
	struct sts *sts;
	struct sts_entry *entry;
	struct loop *loop;
	struct sts_answer answer;
	void (*done)(
	    void *arg, struct sts_answer *answer); /* NULL: nobody wants to know any more */
	void *arg;
};

static void
finish_request(struct sts_request *request)
{
	loop_timer_cancel(request->loop, &request->timer);
	if (request->done)
		request->done(request->arg, &request->answer);
	else
		sts_answer_clear(&request->answer);
	g_free(request);
}

static void
on_answer(struct loop_task *task)
{
	finish_request((struct sts_request *)(void *)task);
}

/* True: nobody will answer any more; the answer is what is known without. */
static bool
leave_line(struct sts_request *request)
{
	bool waiting;

	pthread_mutex_lock(&request->sts->lock);
	waiting = request->entry != NULL;
	if (waiting) {
		g_queue_unlink(&request->entry->requests, &request->link);
		/* A database that hangs may keep a policy, as one that fails may. */
		request->answer.known = request->entry->read ? STS_KNOWN_NOT : STS_KNOWN_LATER;
	}
	request->entry = NULL;
	pthread_mutex_unlock(&request->sts->lock);
	return waiting;
}

static void
on_patience(struct loop_timer *timer)
{
	struct sts_request *request = (struct sts_request *)(void *)((char *)timer -
								     offsetof(struct sts_request,
									 timer));

	if (!leave_line(request))
		return; /* the answer is on its way */
	g_strlcpy(request->answer.why, "no answer in time", sizeof(request->answer.why));
	finish_request(request);
}

static void
answer_request(struct sts *sts, struct sts_entry *entry, struct sts_request *request)
{
	request->answer = answer_of(sts, entry, find_override(sts, entry->domain));
	request->entry = NULL;
	request->task.run = on_answer;
	loop_post(request->loop, &request->task);
}

void
sts_answer_requests(struct sts *sts, struct sts_entry *entry)
{
	GList *link;

	while ((link = g_queue_pop_head_link(&entry->requests)))
		answer_request(sts, entry, link->data);
}

struct sts_request *
sts_ask(struct sts *sts, struct loop *loop, const char *domain, int64_t within_ms,
    void (*done)(void *arg, struct sts_answer *answer), void *arg)
{
	struct sts_request *request = g_new0(struct sts_request, 1);

	request->sts = sts;
	request->loop = loop;
	request->done = done;
	request->arg = arg;
	request->link.data = request;
	request->timer.fire = on_patience;
	pthread_mutex_lock(&sts->lock);
	request->entry = get_entry(sts, domain);
	if (request->entry->fresh_ms > clock_monotonic_ms() && !request->entry->lookup) {
		answer_request(sts, request->entry, request);
	} else {
		g_queue_push_tail_link(&request->entry->requests, &request->link);
		if (!request->entry->lookup)
			sts_lookup_start(sts, request->entry);
	}
	pthread_mutex_unlock(&sts->lock);
	loop_timer_set(loop, &request->timer, within_ms);
	return request;
}

void
sts_cancel(struct sts_request **at)
{
	struct sts_request *request = *at;

	if (!request)
		return;
	*at = NULL;
	request->done = NULL;
	loop_timer_cancel(request->loop, &request->timer);
	if (leave_line(request))
		finish_request(request);
}

/* ---- now and then ---------------------------------------------------------------------------- */

static void
note_due(void *arg, const char *domain)
{
	g_ptr_array_add(arg, g_strdup(domain));
}

static int
find_due(struct sts *sts, struct pn_error *err)
{
	int64_t now = clock_wall_us();
	GPtrArray *due = g_ptr_array_new_with_free_func(g_free);
	int r;

	if (sts->due_ms > clock_monotonic_ms()) {
		g_ptr_array_unref(due);
		return 0;
	}
	sts->due_ms = clock_monotonic_ms() + DUE_MS;
	r = sts_due(sts->parts.db, now - DAY_US, now, DUE_MOST, note_due, due, err);
	pthread_mutex_lock(&sts->lock);
	if (sts->due)
		g_ptr_array_unref(sts->due);
	sts->due = due;
	pthread_mutex_unlock(&sts->lock);
	return r;
}

void
sts_tend(struct sts *sts)
{
	struct pn_error err = { 0 };
	int r = counts_flush(sts->parts.counts, sts->parts.db, &err);

	if (r == 0)
		r = read_overrides(sts, &err);
	if (r == 0)
		r = find_due(sts, &err);
	if (r < 0)
		log_event(PN_LOG_WARNING, "mta-sts-database", "error", err.text, NULL);
	tell_ended_overrides(sts);
}

void
sts_refresh(struct sts *sts)
{
	GPtrArray *due;

	pthread_mutex_lock(&sts->lock);
	due = sts->settings.enabled ? g_steal_pointer(&sts->due) : NULL;
	for (guint i = 0; due && i < due->len; i++) {
		struct sts_entry *entry = get_entry(sts, due->pdata[i]);

		if (!entry->lookup)
			sts_lookup_start(sts, entry);
	}
	pthread_mutex_unlock(&sts->lock);
	if (due)
		g_ptr_array_unref(due);
}

/* ---- life ------------------------------------------------------------------------------------ */

int
sts_new(const struct sts_parts *parts, struct sts **ret, struct pn_error *err)
{
	struct sts *sts = g_new0(struct sts, 1);
	int r = jobs_new(FETCHERS, &sts->fetchers, err);

	if (r == 0 && http_client_new(&sts->http) < 0)
		r = pn_error_set(err, -ENOTSUP, "libcurl cannot be used here");
	if (r < 0) {
		if (sts->fetchers)
			jobs_free(&sts->fetchers);
		g_free(sts);
		return r;
	}
	sts->parts = *parts;
	counts_hold(parts->counts);
	pthread_mutex_init(&sts->lock, NULL);
	sts->entries = g_hash_table_new(g_str_hash, g_str_equal);
	sts->overrides = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	sts->overrides_version = -1;
	g_queue_init(&sts->order);
	*ret = sts;
	return 0;
}

void
sts_configure(struct sts *sts, const struct sts_settings *settings)
{
	struct arena old;

	pthread_mutex_lock(&sts->lock);
	old = sts->arena;
	sts->arena = (struct arena){ 0 };
	sts->settings = *settings;
	sts->settings.ca_file = arena_text(&sts->arena, settings->ca_file);
	sts->settings.connect_to = arena_text(&sts->arena, settings->connect_to);
	sts->settings.refused = arena_copy(
	    &sts->arena, settings->refused, settings->refused_count * sizeof(*settings->refused));
	pthread_mutex_unlock(&sts->lock);
	arena_free(&old);
	atomic_fetch_add(&sts->changes, 1);
}

bool
sts_end(struct sts *sts, int64_t within_ms)
{
	atomic_store(&sts->ending, true);
	return jobs_end(sts->fetchers, within_ms);
}

void
sts_free(struct sts **at)
{
	struct sts *sts = *at;

	if (!sts)
		return;
	*at = NULL;
	atomic_store(&sts->ending, true);
	jobs_free(&sts->fetchers);
	while (sts->order.head)
		forget_entry(sts, sts->order.head->data);
	g_hash_table_unref(sts->entries);
	g_hash_table_unref(sts->overrides);
	if (sts->due)
		g_ptr_array_unref(sts->due);
	http_client_free(&sts->http);
	counts_release(&sts->parts.counts);
	arena_free(&sts->arena);
	pthread_mutex_destroy(&sts->lock);
	g_free(sts);
}

struct counts *
sts_counts(struct sts *sts)
{
	return sts->parts.counts;
}
