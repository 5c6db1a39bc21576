/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_sts.c - the relay's one look at MTA-STS policies, and its TLS counts.
 *
 * Called by relay.c on the main thread. Every few seconds a job writes counts and reads what an
 * administrator has overridden; what was counted since is written when the relay ends, and lost
 * when it is killed.
 */
#include <core/base/log.h>
#include <core/master/relay_state.h>
#include <core/sts/sts.h>
#include <glib.h>

#define TEND_MS 2000

struct relay_sts {
	struct relay *relay;
	struct counts *counts;
	struct loop_timer timer;
	struct job job;
	bool tending, again;
};

static struct relay_sts *
own_of(struct job *job)
{
	return (struct relay_sts *)(void *)((char *)job - offsetof(struct relay_sts, job));
}

static void
tend(struct job *job)
{
	sts_tend(own_of(job)->relay->sts);
}

static void
has_tended(struct job *job)
{
	struct relay_sts *own = own_of(job);

	own->tending = false;
	if (own->relay->draining)
		return;
	sts_refresh(own->relay->sts);
	loop_timer_set(own->relay->loop, &own->timer, own->again ? 0 : TEND_MS);
	own->again = false;
}

void
relay_sts_look(struct relay *relay)
{
	struct relay_sts *own = relay->sts_own;

	if (own->tending) {
		own->again = true;
		return;
	}
	own->tending = true;
	loop_timer_cancel(relay->loop, &own->timer);
	jobs_submit(relay->jobs, &own->job);
}

static void
on_timer(struct loop_timer *timer)
{
	relay_sts_look(
	    ((struct relay_sts *)(void *)((char *)timer - offsetof(struct relay_sts, timer)))
		->relay);
}

int
relay_sts_open(struct relay *relay, struct pn_error *err)
{
	struct relay_sts *own = g_new0(struct relay_sts, 1);
	struct sts_parts parts = { relay->loop, relay->dns, relay->jobs, relay->db, NULL };
	int r;

	relay->sts_own = own;
	own->relay = relay;
	own->counts = parts.counts = counts_new();
	own->timer.fire = on_timer;
	own->job = (struct job){ .loop = relay->loop, .work = tend, .done = has_tended };
	r = sts_new(&parts, &relay->sts, err);
	if (r == 0)
		relay_sts_configure(relay);
	return r;
}

/* Overrides are there before the first mail leaves: the first look is at once, and waited for. */
void
relay_sts_start(struct relay *relay)
{
	sts_tend(relay->sts);
	loop_timer_set(relay->loop, &relay->sts_own->timer, TEND_MS);
}

void
relay_sts_configure(struct relay *relay)
{
	const struct config_mta_sts *config = &generation_core(relay->generation)->relay.mta_sts;
	struct arena arena = { 0 };
	struct sts_settings settings = { .enabled = config->enabled,
		.ca_file = config->ca_file,
		.connect_to = config->connect_to,
		.timeout_ms = config->timeout };

	settings.refused = config_mta_sts_refused(config, &arena, &settings.refused_count);
	sts_configure(relay->sts, &settings);
	arena_free(&arena);
}

bool
relay_sts_end(struct relay *relay, int64_t within_ms)
{
	return !relay->sts || sts_end(relay->sts, within_ms);
}

void
relay_sts_free(struct relay *relay)
{
	struct pn_error err = { 0 };

	if (!relay->sts_own)
		return;
	if (relay->sts && counts_flush(relay->sts_own->counts, relay->db, &err) < 0)
		log_event(PN_LOG_WARNING, "mta-sts-database", "error", err.text, NULL);
	sts_free(&relay->sts);
	counts_release(&relay->sts_own->counts);
	g_free(relay->sts_own);
	relay->sts_own = NULL;
}
