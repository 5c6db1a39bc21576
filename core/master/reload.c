/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reload.c - takes another configuration, and with an upgrade other code, or changes nothing.
 *
 * Called by master.c on a signal, a relay's word or a changed file. The checker's answer decides,
 * then the relay's: the one that serves for a reload, a new one for an upgrade.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/master/master_state.h>
#include <glib.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

static const char *
word(enum wish wish, bool done)
{
	if (wish == WISH_UPGRADE)
		return done ? "upgraded" : "upgrade-refused";
	return done ? "reloaded" : "reload-refused";
}

static void
tell_outcome(struct master *master, bool ok, const char *text)
{
	char *valid = g_utf8_make_valid(text, -1); /* it may be cut inside a character */
	json_t *outcome = json_pack("{s:b, s:s}", "ok", ok, "text", valid);
	char *line = outcome ? json_dumps(outcome, JSON_COMPACT) : NULL;

	if (line && master->asked && master->relay.fd >= 0)
		channel_send(master->relay.fd, CHANNEL_OUTCOME, pn_slice_of(line), NULL, 0);
	free(line);
	g_free(valid);
	json_decref(outcome);
}

void
reload_failed(struct master *master, const char *text)
{
	log_event(PN_LOG_ERROR, word(master->taking, false), "reason", text, NULL);
	sockets_close_others(&master->next_sockets, &master->sockets);
	checker_answer_free(&master->next);
	if (master->taking == WISH_UPGRADE)
		code_free(&master->next_code);
	master->taking = WISH_NOTHING;
	tell_outcome(master, false, text);
	sd_notify(0, "READY=1");
}

static int
check(struct master *master, struct pn_error *err)
{
	int r = 0;

	master->next = (struct checker_answer){ 0 };
	if (master->taking == WISH_UPGRADE)
		r = code_newest(&master->code, &master->next_code, err);
	if (r == 0)
		r = checker_run(master->taking == WISH_UPGRADE ? master->next_code.program
							       : master->code.program,
		    master->folder, master->modules, &master->next, err);
	return r;
}

/* What the master has done at its start for good. A relay that serves finds out the same itself. */
static int
check_same(const struct master *master, struct pn_error *err)
{
	const struct checker_answer *now = &master->answer, *next = &master->next;

	if (strcmp(now->state_directory, next->state_directory) != 0)
		return pn_error_set(err, -EBUSY,
		    "relay.state_directory cannot change while the relay runs: stop it first");
	if (g_strcmp0(now->user, next->user) != 0)
		return pn_error_set(
		    err, -EBUSY, "relay.user cannot change while the relay runs: stop it first");
	if (strcmp(now->run_directory, next->run_directory) != 0)
		return pn_error_set(err, -EBUSY,
		    "relay.run_directory cannot change while the relay runs: stop it first");
	return 0;
}

/* To the relay that serves, or to one that will. */
static void
hand_over(struct master *master)
{
	struct pn_error err = { 0 };

	if (sockets_open(&master->sockets, &master->next, 0, &master->next_sockets, &err) < 0) {
		reload_failed(master, err.text);
	} else if (master->taking == WISH_UPGRADE) {
		if (check_same(master, &err) < 0 || relays_replace(master, "upgrade", &err) < 0)
			reload_failed(master, err.text);
	} else if (relays_send_config(
		       &master->relay, master, &master->next, &master->next_sockets) < 0) {
		reload_failed(master, "the relay does not take it");
		relays_kill(&master->relay);
	}
}

static bool
is_busy(const struct master *master, enum wish wish)
{
	return master->taking || master->coming.pid > 0 ||
	       (wish == WISH_UPGRADE && master->leaving.pid > 0);
}

void
reload_begin(struct master *master, enum wish wish, bool asked)
{
	struct pn_error err = { 0 };

	if (is_busy(master, wish)) { /* what it reads may be older than what is wanted */
		master->again = wish > master->again ? wish : master->again;
		master->again_asked |= asked;
		return;
	}
	master->asked = asked;
	if (master->stopping || (master->relay.fd < 0 && wish == WISH_RELOAD)) {
		tell_outcome(master, false, "not now: the relay starts or stops");
		return;
	}
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_monotonic_us());
	watchdog_before_wait(&master->watchdog);
	master->taking = wish;
	master->read_us = clock_wall_us();
	master->next_sockets.count = 0;
	if (check(master, &err) < 0) {
		const char *lines = buf_text(&master->next.diagnostics);
		char text[4096];

		snprintf(text, sizeof(text), "%s%s", lines ? lines : "", err.text);
		reload_failed(master, text);
		return;
	}
	hand_over(master);
}

void
reload_applied(struct master *master, const char *text)
{
	const char *lines = buf_text(&master->next.diagnostics);
	bool upgrade = master->taking == WISH_UPGRADE;
	char said[4096];

	crashes_forgive(&master->crashes);
	sockets_close_others(&master->sockets, &master->next_sockets);
	checker_answer_free(&master->answer);
	watch_set(&master->watch, &master->next, master->folder, master->read_us);
	master->answer = master->next;
	master->sockets = master->next_sockets;
	master->taking = WISH_NOTHING;
	if (upgrade) {
		code_free(&master->code);
		master->code = master->next_code;
	} else {
		code_add(&master->code, &master->answer);
	}
	snprintf(said, sizeof(said), "%s%s", lines ? lines : "", text);
	log_event(PN_LOG_NOTICE, word(upgrade ? WISH_UPGRADE : WISH_RELOAD, true),
	    upgrade ? "relay" : "generation", text, NULL);
	tell_outcome(master, true, said);
	sd_notify(0, "READY=1");
}

void
reload_again(struct master *master)
{
	enum wish wish = master->again;
	bool asked = master->again_asked;

	if (!wish || is_busy(master, wish))
		return;
	master->again = WISH_NOTHING;
	master->again_asked = false;
	reload_begin(master, wish, asked);
}

/* ---- changed files ---- */

void
reload_tell_code(struct master *master)
{
	if (master->relay.fd >= 0)
		channel_send(
		    master->relay.fd, CHANNEL_CODE, buf_slice(&master->code.changed), NULL, 0);
}

/* A certificate was renewed, a password file replaced: the same as a reload. */
void
reload_look(struct master *master)
{
	const char *changed;

	if (is_busy(master, WISH_RELOAD) || master->relay.fd < 0) {
		master->watch.due_ms = clock_monotonic_ms() + WATCH_MS;
		return; /* what has changed is still different then */
	}
	if (code_look(&master->code))
		reload_tell_code(master);
	changed = watch_look(&master->watch);
	if (!changed)
		return;
	log_event(PN_LOG_NOTICE, "file-changed", "path", changed, NULL);
	reload_begin(master, WISH_RELOAD, false);
}
