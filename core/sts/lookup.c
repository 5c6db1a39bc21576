/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.c - one domain's policy, from the database to the policy host and back.
 *
 * Begun by sts.c for those who ask; lives on the main loop, blocks on threads. Must never say
 * "none" where somebody could not be asked: the DNS alone says that, and only while the database
 * has none.
 */
#include "inside.h"
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/store/sts.h>
#include <errno.h>
#include <string.h>

#define PREFIX      "_mta-sts."
#define FRESH_LEAST 60 /* seconds: of an answer of the DNS */
#define FRESH_MOST  3600
#define TROUBLE_MS  60000  /* the DNS, or the policy host, is asked again */
#define DATABASE_MS 5000   /* the database */
#define FETCH_MS    300000 /* RFC 8461 section 3.3: a policy host that has failed */
#define DAY_US      (INT64_C(24) * 3600 * 1000000)

enum record { RECORD_THERE, RECORD_NONE, RECORD_UNKNOWN };

struct sts_lookup {
	struct dns_request dns; /* first */
	struct loop_task task;
	struct job job;
	struct sts *sts;
	struct sts_entry *entry; /* stays while it is under way */
	char domain[DNS_NAME_SIZE];
	/* What jobs bring. */
	int r;
	struct pn_error err;
	struct sts_policy policy;
	int64_t fetched_us, expires_us;
	char kept_id[STS_ID_SIZE];
	/* Of the fetch: settings as they were when it began. */
	struct sts_fetching fetching;
	struct arena arena;
	/* What was found. */
	bool database_failed;
	enum record record;
	char id[STS_ID_SIZE];
	int64_t fresh_s;
	char why[STS_WHY_SIZE];
};

void
sts_lookup_free(struct sts_lookup *lookup)
{
	dns_request_clear(&lookup->dns);
	sts_policy_clear(&lookup->policy);
	arena_free(&lookup->arena);
	g_free(lookup);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void
set_known(const struct sts_lookup *lookup, struct sts_entry *entry)
{
	int64_t wait_ms = TROUBLE_MS;

	entry->known = STS_KNOWN_NOT;
	if (lookup->record == RECORD_NONE && !lookup->database_failed) {
		entry->known = STS_KNOWN_NONE;
		wait_ms = lookup->fresh_s * 1000;
	} else if (lookup->database_failed) {
		entry->known = STS_KNOWN_LATER;
		wait_ms = DATABASE_MS;
	} else if (sts_entry_holds(entry) && lookup->record != RECORD_UNKNOWN &&
		   strcmp(entry->id, lookup->id) == 0) {
		wait_ms = lookup->fresh_s * 1000;
	}
	entry->fresh_ms = clock_monotonic_ms() + wait_ms;
	g_strlcpy(entry->why, lookup->why, sizeof(entry->why));
}

static void
finish(struct sts_lookup *lookup)
{
	struct sts *sts = lookup->sts;
	struct sts_entry *entry = lookup->entry;
	enum sts_known before;

	pthread_mutex_lock(&sts->lock);
	before = entry->known;
	set_known(lookup, entry);
	if (entry->known != before)
		atomic_fetch_add(&sts->changes, 1);
	entry->lookup = NULL;
	sts_answer_requests(sts, entry);
	pthread_mutex_unlock(&sts->lock);
	sts_lookup_free(lookup);
}

/* The policy that a job has brought takes the place of the one before. */
static void
take_policy(struct sts_lookup *lookup, const char *id)
{
	struct sts *sts = lookup->sts;
	struct sts_entry *entry = lookup->entry;

	pthread_mutex_lock(&sts->lock);
	sts_release(&entry->policy);
	entry->policy = sts_held_new(&lookup->policy);
	entry->fetched_us = lookup->fetched_us;
	entry->expires_us = lookup->expires_us;
	g_strlcpy(entry->id, id, sizeof(entry->id));
	atomic_fetch_add(&sts->changes, 1);
	pthread_mutex_unlock(&sts->lock);
}

/* ---- the policy host ------------------------------------------------------------------------- */

static struct sts_lookup *
lookup_of(struct job *job)
{
	return (struct sts_lookup *)(void *)((char *)job - offsetof(struct sts_lookup, job));
}

static bool
is_ending(const void *arg)
{
	return atomic_load(&((const struct sts *)arg)->ending);
}

static void
keep(struct sts_lookup *lookup)
{
	char *text = sts_policy_print(&lookup->policy);
	struct sts_kept kept = { lookup->domain, lookup->id, text, lookup->fetched_us,
		lookup->expires_us };
	struct pn_error err = { 0 };

	/* It holds in memory all the same; the next fetch writes it again. */
	if (text && sts_keep(lookup->sts->parts.db, &kept, &err) < 0)
		log_event(PN_LOG_WARNING, "mta-sts-database", "error", err.text, "domain",
		    lookup->domain, NULL);
	free(text);
}

static void
fetch(struct job *job)
{
	struct sts_lookup *lookup = lookup_of(job);

	lookup->r = sts_fetch(&lookup->fetching, lookup->domain, &lookup->policy, &lookup->err);
	if (lookup->r < 0)
		return;
	lookup->fetched_us = clock_wall_us();
	lookup->expires_us = lookup->fetched_us + lookup->policy.max_age * 1000000;
	keep(lookup);
}

static void
note_failure(struct sts_lookup *lookup)
{
	struct sts *sts = lookup->sts;
	const struct tls_count count = { .domain = lookup->domain,
		.type = "sts",
		.result = sts_fetch_result(lookup->r),
		.host = "",
		.sent_by = "",
		.address = "" };

	g_strlcpy(lookup->why, lookup->err.text, sizeof(lookup->why));
	pthread_mutex_lock(&sts->lock);
	lookup->entry->fetch_ms = clock_monotonic_ms() + FETCH_MS;
	pthread_mutex_unlock(&sts->lock);
	if (atomic_load(&sts->ending))
		return;
	counts_note(sts->parts.counts, &count);
	log_event(PN_LOG_NOTICE, "mta-sts-not-fetched", "domain", lookup->domain, "reason",
	    lookup->err.text, NULL);
}

static void
on_fetched(struct job *job)
{
	struct sts_lookup *lookup = lookup_of(job);

	if (lookup->r < 0) {
		note_failure(lookup);
	} else {
		log_event(PN_LOG_INFO, "mta-sts-fetched", "domain", lookup->domain, "mode",
		    sts_mode_name(lookup->policy.mode), "policy", lookup->id, NULL);
		take_policy(lookup, lookup->id);
		/* Whatever the database had kept, this is newer. */
		lookup->database_failed = false;
		lookup->entry->read = true; /* only look-ups of this loop look at it */
	}
	finish(lookup);
}

static bool
may_fetch(struct sts_lookup *lookup)
{
	const struct sts_entry *entry = lookup->entry;
	struct sts *sts = lookup->sts;
	bool wanted;

	pthread_mutex_lock(&sts->lock);
	wanted = !sts_entry_holds(entry) || strcmp(entry->id, lookup->id) != 0 ||
		 entry->fetched_us + DAY_US < clock_wall_us();
	if (wanted && entry->fetch_ms > clock_monotonic_ms()) {
		g_strlcpy(lookup->why, "the policy host has failed just now", sizeof(lookup->why));
		wanted = false;
	}
	lookup->fetching = (struct sts_fetching){ .client = sts->http,
		.ca_file = arena_text(&lookup->arena, sts->settings.ca_file),
		.connect_to = arena_text(&lookup->arena, sts->settings.connect_to),
		.refused_count = sts->settings.refused_count,
		.refused = arena_copy(&lookup->arena, sts->settings.refused,
		    sts->settings.refused_count * sizeof(*sts->settings.refused)),
		.timeout_ms = sts->settings.timeout_ms,
		.stop = is_ending,
		.arg = sts };
	pthread_mutex_unlock(&sts->lock);
	return wanted && !atomic_load(&sts->ending);
}

/* ---- the TXT record -------------------------------------------------------------------------- */

/* RFC 8461 section 3.1: exactly one that is meant to be one, and it is right. */
static void
read_records(struct sts_lookup *lookup)
{
	const struct dns_request *dns = &lookup->dns;
	char id[STS_ID_SIZE];
	size_t meant = 0;
	bool wrong = false;

	for (size_t i = 0; i < dns->count; i++) {
		int r = sts_record(dns->records[i], id);

		if (r == -ENOENT)
			continue;
		meant++;
		wrong |= r < 0;
		g_strlcpy(lookup->id, id, sizeof(lookup->id));
	}
	lookup->record = meant == 1 && !wrong ? RECORD_THERE : RECORD_NONE;
	if (meant > 0 && lookup->record == RECORD_NONE)
		log_event(PN_LOG_NOTICE, "mta-sts-record", "domain", lookup->domain, "reason",
		    wrong ? "the TXT record is wrong" : "there are several TXT records", NULL);
}

static void
on_txt(struct dns_request *dns)
{
	struct sts_lookup *lookup = (struct sts_lookup *)(void *)dns;

	lookup->fresh_s = CLAMP(dns->ttl, FRESH_LEAST, FRESH_MOST);
	if (dns->r == 0) {
		read_records(lookup);
	} else if (dns->r == -ENOENT || dns->r == -ENODATA) {
		lookup->record = RECORD_NONE;
	} else {
		lookup->record = RECORD_UNKNOWN;
		g_snprintf(lookup->why, sizeof(lookup->why), "%s: %s", dns->name, dns->why);
	}
	if (lookup->record != RECORD_THERE || !may_fetch(lookup)) {
		finish(lookup);
		return;
	}
	lookup->job = (struct job){
		.loop = lookup->sts->parts.loop, .work = fetch, .done = on_fetched
	};
	jobs_submit(lookup->sts->fetchers, &lookup->job);
}

static void
ask_dns(struct sts_lookup *lookup)
{
	lookup->dns.loop = lookup->sts->parts.loop;
	lookup->dns.type = DNS_TYPE_TXT;
	lookup->dns.done = on_txt;
	if (strlen(lookup->domain) + strlen(PREFIX) > DNS_NAME_SIZE - 3) {
		lookup->record = RECORD_NONE; /* no such name can be */
		lookup->fresh_s = FRESH_MOST;
		finish(lookup);
		return;
	}
	g_snprintf(lookup->dns.name, sizeof(lookup->dns.name), PREFIX "%s", lookup->domain);
	dns_ask(lookup->sts->parts.dns, &lookup->dns);
}

/* ---- the database ---------------------------------------------------------------------------- */

static void
read_kept(struct job *job)
{
	struct sts_lookup *lookup = lookup_of(job);
	struct sts_kept kept;
	const char *why;

	lookup->r = sts_find(
	    lookup->sts->parts.db, lookup->domain, &lookup->arena, &kept, &lookup->err);
	if (lookup->r < 0)
		return;
	lookup->fetched_us = kept.fetched_us;
	lookup->expires_us = kept.expires_us;
	g_strlcpy(lookup->kept_id, kept.id, sizeof(lookup->kept_id));
	if (sts_policy_parse(pn_slice_of(kept.policy), &lookup->policy, &why) < 0) {
		sts_policy_clear(&lookup->policy);
		lookup->r = pn_error_set(
		    &lookup->err, -EBADMSG, "what is kept of %s: %s", lookup->domain, why);
	}
}

static void
on_read(struct job *job)
{
	struct sts_lookup *lookup = lookup_of(job);
	struct sts *sts = lookup->sts;

	if (lookup->r == 0)
		take_policy(lookup, lookup->kept_id);
	pthread_mutex_lock(&sts->lock);
	/* Damaged, it is as none; the domain is asked again. */
	lookup->entry->read = lookup->r == 0 || lookup->r == -ENOENT || lookup->r == -EBADMSG;
	lookup->database_failed = !lookup->entry->read;
	if (sts_entry_holds(lookup->entry))
		sts_answer_requests(sts, lookup->entry); /* nobody has to wait for the network */
	pthread_mutex_unlock(&sts->lock);
	if (lookup->r < 0 && lookup->r != -ENOENT) {
		g_strlcpy(lookup->why, lookup->err.text, sizeof(lookup->why));
		log_event(PN_LOG_WARNING, "mta-sts-database", "error", lookup->err.text, "domain",
		    lookup->domain, NULL);
	}
	ask_dns(lookup);
}

static void
begin(struct loop_task *task)
{
	struct sts_lookup *lookup = (struct sts_lookup *)(void *)((char *)task -
								  offsetof(
								      struct sts_lookup, task));
	bool read;

	pthread_mutex_lock(&lookup->sts->lock);
	read = lookup->entry->read;
	pthread_mutex_unlock(&lookup->sts->lock);
	if (read) {
		ask_dns(lookup);
		return;
	}
	lookup->job = (struct job){
		.loop = lookup->sts->parts.loop, .work = read_kept, .done = on_read
	};
	jobs_submit(lookup->sts->parts.jobs, &lookup->job);
}

void
sts_lookup_start(struct sts *sts, struct sts_entry *entry)
{
	struct sts_lookup *lookup = g_new0(struct sts_lookup, 1);

	entry->lookup = lookup;
	lookup->sts = sts;
	lookup->entry = entry;
	g_strlcpy(lookup->domain, entry->domain, sizeof(lookup->domain));
	lookup->task.run = begin;
	loop_post(sts->parts.loop, &lookup->task);
}
