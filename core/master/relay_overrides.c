/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_overrides.c - takes what the database has for settings and of the directory, without a
 * reload.
 *
 * The version is asked for every few seconds by a job. A new one makes another generation of the
 * files that are in force; sessions take it at their next MAIL. Runs on the relay's main loop; must
 * never wait for the database there but where a generation is made, as at a reload.
 */
#include <core/base/log.h>
#include <core/master/relay_state.h>
#include <core/store/records.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOK_MS 5000

struct relay_overrides {
	struct relay *relay;
	struct loop_timer timer;
	struct job job;
	bool looking, again; /* a job is under way; another look was wanted meanwhile */
	int64_t seen;        /* by the job */
	int64_t directory;   /* likewise: the directory's version */
	int result;
	struct pn_error err;
	struct arena arena;
	struct overrides read; /* of the newest generation */
};

int
relay_overrides_read(struct relay *relay, const struct overrides **ret, struct pn_error *err)
{
	struct relay_overrides *own = relay->overrides;
	struct arena arena = { 0 };
	struct overrides read;
	int r;

	if (!own)
		own = relay->overrides = calloc(1, sizeof(*own));
	if (!own)
		return pn_error_set(err, -ENOMEM, "out of memory");
	r = overrides_read(relay->db, &arena, &read, err);
	if (r < 0) {
		arena_free(&arena);
		return pn_error_in(err, "settings in the database");
	}
	arena_free(&own->arena);
	own->arena = arena;
	own->read = read;
	*ret = &own->read;
	return 0;
}

/* ---- another generation ---------------------------------------------------------------------- */

static void
take(struct relay *relay)
{
	struct generation_how how = {
		.role = PN_ROLE_RELAY, .db = relay->db, .before = relay->generation
	};
	struct generation *generation = NULL;
	struct settled *settled;
	struct diags diags = { 0 };
	struct pn_error err = { 0 };
	char number[32];
	int r = relay_overrides_read(relay, &how.overrides, &err);

	if (r == 0)
		r = generation_again(&how, &diags, &generation);
	relay_log_diags(&diags);
	diags_free(&diags);
	if (r < 0) {
		log_event(PN_LOG_ERROR, "settings-not-taken", "reason",
		    err.text[0] ? err.text : strerror(-r), NULL);
		return;
	}
	settled = settled_again(relay->settled, generation);
	relay_apply(relay, settled);
	if (generation_directory_held(relay->generation))
		relay_served_configure(relay);
	settled_release(&settled);
	snprintf(number, sizeof(number), "%llu",
	    (unsigned long long)generation_number(relay->generation));
	log_event(PN_LOG_NOTICE, "settings-taken", "generation", number, NULL);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void
look(struct job *job)
{
	struct relay_overrides *own = (struct relay_overrides *)((char *)job -
								 offsetof(
								     struct relay_overrides, job));

	own->result = overrides_version(own->relay->db, &own->seen, &own->err);
	if (own->result == 0)
		own->result = records_version(own->relay->db, &own->directory, &own->err);
}

static bool
is_new(const struct relay_overrides *own)
{
	return own->seen != own->read.version ||
	       own->directory != generation_directory_version(own->relay->generation);
}

/* While lanes still take another configuration, the next look is soon enough. */
static void
has_looked(struct job *job)
{
	struct relay_overrides *own = (struct relay_overrides *)((char *)job -
								 offsetof(
								     struct relay_overrides, job));
	struct relay *relay = own->relay;

	own->looking = false;
	if (relay->draining)
		return;
	if (own->result < 0)
		log_event(PN_LOG_WARNING, "settings-not-read", "error", own->err.text, NULL);
	else if (is_new(own) && relay->switching > 0)
		own->again = true;
	else if (is_new(own))
		take(relay);
	loop_timer_set(relay->loop, &own->timer, own->again ? LOOK_MS / 50 : LOOK_MS);
	own->again = false;
}

void
relay_overrides_look(struct relay *relay)
{
	struct relay_overrides *own = relay->overrides;

	if (own->looking) {
		own->again = true;
		return;
	}
	loop_timer_cancel(relay->loop, &own->timer);
	own->looking = true;
	jobs_submit(relay->jobs, &own->job);
}

static void
on_timer(struct loop_timer *timer)
{
	struct relay_overrides *own = (struct relay_overrides *)((char *)timer -
								 offsetof(struct relay_overrides,
								     timer));

	relay_overrides_look(own->relay);
}

void
relay_overrides_start(struct relay *relay)
{
	struct relay_overrides *own = relay->overrides;

	own->relay = relay;
	own->timer.fire = on_timer;
	own->job = (struct job){ .loop = relay->loop, .work = look, .done = has_looked };
	loop_timer_set(relay->loop, &own->timer, LOOK_MS);
}

void
relay_overrides_free(struct relay *relay)
{
	if (relay->overrides)
		arena_free(&relay->overrides->arena);
	free(relay->overrides);
	relay->overrides = NULL;
}
