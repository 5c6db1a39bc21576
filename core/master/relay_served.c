/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_served.c - reads the directory server again and again (directory.ldap).
 *
 * Started with the relay. The reading is a job on a thread of its own: no hook and no look-up waits
 * behind it. What it finds goes into the database, from where relay_overrides.c takes it as it
 * takes what posternctl changes. Must never take part of a reading, nor speak of one failure twice.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/ctl/console.h>
#include <core/master/relay_state.h>
#include <core/policy/directory_ldap.h>
#include <core/store/snapshot.h>
#include <stdio.h>
#include <stdlib.h>

struct relay_served {
	struct relay *relay;
	struct loop_timer timer;
	struct jobs *jobs; /* one thread; NULL: nothing was ever to be read */
	struct job job;
	atomic_bool ending, outdated; /* outdated: the job reads by settings that hold no more */
	/* the job's while it is under way */
	struct generation *generation; /* held: its settings */
	struct ldap_reading reading;
	struct pn_error err;
	int result;
	/* the loop's */
	bool any, reading_now;
	int64_t good_ms; /* monotonic: when the server was last read */
	size_t users;
	char failure[sizeof(((struct pn_error *)NULL)->text)]; /* of the last reading; "": none */
};

static const struct config_ldap *
settings_of(const struct generation *generation)
{
	return &generation_core(generation)->directory.ldap;
}

static bool
is_ending(const void *arg)
{
	const struct relay_served *own = arg;

	return atomic_load(&own->ending) || atomic_load(&own->outdated);
}

static void
work(struct job *job)
{
	struct relay_served *own = (struct relay_served *)((char *)job -
							   offsetof(struct relay_served, job));

	own->err = (struct pn_error){ 0 };
	own->result = directory_ldap_refresh(own->relay->db, settings_of(own->generation), 0,
	    is_ending, own, &own->reading, &own->err);
}

static void
note_good(struct relay_served *own)
{
	char users[24], added[24], removed[24];
	bool again = *own->failure != '\0';

	own->any = true;
	own->good_ms = clock_monotonic_ms();
	own->users = own->reading.users;
	*own->failure = '\0';
	if (!own->reading.changed && !again)
		return;
	snprintf(users, sizeof(users), "%zu", own->reading.users);
	snprintf(added, sizeof(added), "%zu", own->reading.added);
	snprintf(removed, sizeof(removed), "%zu", own->reading.removed);
	log_event(PN_LOG_NOTICE, "directory-read", "users", users, "added", added, "removed",
	    removed, NULL);
	if (own->reading.changed)
		relay_overrides_look(own->relay);
}

static void
note_bad(struct relay_served *own)
{
	if (strcmp(own->failure, own->err.text) == 0)
		return;
	snprintf(own->failure, sizeof(own->failure), "%s", own->err.text);
	log_event(PN_LOG_ERROR, "directory-not-read", "reason", own->failure, NULL);
}

/* For the next reading; where no server is configured, for a reload. */
static void
wait(struct relay_served *own)
{
	const struct config_ldap *ldap = settings_of(own->relay->generation);

	if (ldap->server.uris.count > 0)
		loop_timer_set(own->relay->loop, &own->timer, ldap->interval);
}

static void begin(struct loop_timer *timer);

static void
done(struct job *job)
{
	struct relay_served *own = (struct relay_served *)((char *)job -
							   offsetof(struct relay_served, job));

	own->reading_now = false;
	generation_release(&own->generation);
	if (atomic_load(&own->ending) || own->relay->draining)
		return;
	if (atomic_exchange(&own->outdated, false)) {
		begin(&own->timer);
		return;
	}
	if (own->result < 0)
		note_bad(own);
	else
		note_good(own);
	wait(own);
}

static void
begin(struct loop_timer *timer)
{
	struct relay_served *own = (struct relay_served *)((char *)timer -
							   offsetof(struct relay_served, timer));
	struct relay *relay = own->relay;
	struct pn_error err;

	if (own->reading_now || relay->draining)
		return;
	if (settings_of(relay->generation)->server.uris.count == 0) {
		own->any = false;
		*own->failure = '\0';
		return;
	}
	if (!own->jobs && jobs_new(1, &own->jobs, &err) < 0) {
		log_event(PN_LOG_ERROR, "directory-not-read", "reason", err.text, NULL);
		wait(own);
		return;
	}
	own->reading_now = true;
	own->generation = generation_hold(relay->generation);
	jobs_submit(own->jobs, &own->job);
}

void
relay_served_start(struct relay *relay)
{
	struct relay_served *own = calloc(1, sizeof(*own));

	if (!own)
		abort();
	relay->served = own;
	own->relay = relay;
	own->timer.fire = begin;
	own->job = (struct job){ .loop = relay->loop, .work = work, .done = done };
	begin(&own->timer);
}

/* A reading that is under way by other settings must not be kept; then it is done again. */
static void
note_outdated(struct relay_served *own)
{
	char reads[SNAPSHOT_SOURCE_SIZE], holds[SNAPSHOT_SOURCE_SIZE];

	directory_ldap_source(settings_of(own->generation), reads);
	directory_ldap_source(settings_of(own->relay->generation), holds);
	if (strcmp(reads, holds) != 0 ||
	    settings_of(own->relay->generation)->server.uris.count == 0)
		atomic_store(&own->outdated, true);
}

void
relay_served_configure(struct relay *relay)
{
	if (!relay->served)
		return;
	if (relay->served->reading_now) {
		note_outdated(relay->served);
		return;
	}
	loop_timer_cancel(relay->loop, &relay->served->timer);
	begin(&relay->served->timer);
}

void
relay_served_status(const struct relay *relay, json_t *ret)
{
	const struct relay_served *own = relay->served;

	if (!own || settings_of(relay->generation)->server.uris.count == 0)
		return;
	if (own->any) {
		json_object_set_new(
		    ret, "directory_server_users", json_integer((json_int_t)own->users));
		json_object_set_new(ret, "directory_server_age_seconds",
		    json_integer((clock_monotonic_ms() - own->good_ms) / 1000));
	}
	if (*own->failure)
		json_object_set_new(ret, "directory_server_failure", console_text(own->failure));
}

bool
relay_served_end(struct relay *relay, int64_t within_ms)
{
	struct relay_served *own = relay->served;

	if (!own || !own->jobs)
		return true;
	atomic_store(&own->ending, true);
	return jobs_end(own->jobs, within_ms);
}

void
relay_served_free(struct relay *relay)
{
	struct relay_served *own = relay->served;

	relay->served = NULL;
	if (!own)
		return;
	if (own->jobs)
		jobs_free(&own->jobs);
	if (own->generation) /* its `done` has not been run any more */
		generation_release(&own->generation);
	free(own);
}
