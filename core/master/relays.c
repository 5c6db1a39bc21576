/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relays.c - the relay processes: one serves, for moments one comes and one leaves.
 *
 * Called by master.c and reload.c. A relay that dies is replaced at once on the same sockets and
 * the same checked configuration. One that is to be replaced goes on until the other one is ready:
 * both then have the listening sockets, so that there is no moment without one, and the spool lets
 * the second write before the first has ended.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/master/master_state.h>
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_S   10    /* for a relay that stops in the middle of a frame */
#define COMING_MS    60000 /* the one before may have to read a long queue first */
#define RESTART_MOST 1000  /* a killed relay accepts again within about a second, always */
#define RESTART_CALM 60000 /* a relay that lived this long starts with a clean slate */

static const struct child nobody = { 0, -1 };

/* ---- configuration ---- */

static char *
config_json(struct master *master, const struct checker_answer *answer, size_t *ret_len)
{
	json_t *names = json_array(), *config;
	char tickets[TLS_TICKET_SEED_TEXT], *text;

	tls_ticket_seed_forward(&master->tickets);
	tls_ticket_seed_format(&master->tickets, tickets);

	for (size_t i = 0; i < answer->listener_count; i++)
		json_array_append_new(names, json_string(answer->listeners[i].name));
	config = json_pack("{s:s, s:s, s:s, s:s?, s:o, s:I, s:b, s:s}", "folder", master->folder,
	    "modules", master->modules, "state", answer->state_directory, "user", answer->user,
	    "listeners", names, "blobs", (json_int_t)answer->blobs.len, "closed", master->closed,
	    "tickets", tickets);
	OPENSSL_cleanse(tickets, sizeof(tickets));
	text = config ? json_dumps(config, JSON_COMPACT) : NULL;
	json_decref(config);
	*ret_len = text ? strlen(text) + 1 : 0;
	return text;
}

int
relays_send_config(const struct child *child, struct master *master,
    const struct checker_answer *answer, const struct sockets *sockets)
{
	struct buf frame = BUF_INIT(CHANNEL_MOST);
	int fds[CHECKER_LISTENERS_MOST], r;
	size_t len;
	char *text = config_json(master, answer, &len);

	for (size_t i = 0; i < sockets->count; i++)
		fds[i] = sockets->items[i].fd;
	r = text ? buf_add(&frame, text, len) : -ENOMEM;
	if (r == 0)
		r = buf_add(&frame, answer->bundle.data, answer->bundle.len);
	if (r == 0)
		r = buf_add(&frame, answer->blobs.data, answer->blobs.len);
	if (r == 0)
		r = channel_send(child->fd, CHANNEL_CONFIG, buf_slice(&frame), fds, sockets->count);
	buf_wipe(&frame);
	free(text);
	return r;
}

void
relays_kill(const struct child *child)
{
	if (child->pid > 0)
		kill(child->pid, SIGKILL);
}

/* ---- start, restart ---- */

int
relays_start(struct master *master, struct pn_error *err)
{
	int r;

	code_begin(&master->code, &master->answer);
	r = child_start(master->code.program, "relay", PATIENCE_S, &master->relay, err);
	master->started_ms = clock_monotonic_ms();
	master->restart_ms = 0;
	watchdog_forget(&master->watchdog);
	if (r < 0)
		return r;
	r = crashes_hand_over(&master->crashes, &master->relay);
	if (r == 0)
		r = relays_send_config(&master->relay, master, &master->answer, &master->sockets);
	if (r == 0)
		return 0;
	relays_kill(&master->relay);
	return pn_error_set(err, r, "cannot hand the relay its configuration");
}

static void
restart(struct master *master)
{
	struct pn_error err = { 0 };

	if (relays_start(master, &err) == 0)
		return;
	log_event(PN_LOG_ERROR, "relay-not-started", "reason", err.text, NULL);
	master->restart_ms = clock_monotonic_ms() + RESTART_MOST;
}

/* At once the first time, then slower and slower while it keeps dying young. */
static void
plan_restart(struct master *master)
{
	int64_t now = clock_monotonic_ms(), wait = 0;

	if (now - master->started_ms > RESTART_CALM)
		master->failures = 0;
	if (master->failures >= 3)
		wait = 100 << (master->failures < 10 ? master->failures - 3 : 7);
	master->failures++;
	master->restart_ms = now + (wait < RESTART_MOST ? wait : RESTART_MOST);
}

/* ---- replacing ---- */

int
relays_replace(struct master *master, const char *why, struct pn_error *err)
{
	bool upgrade = master->taking == WISH_UPGRADE;
	struct code *code = upgrade ? &master->next_code : &master->code;
	const struct checker_answer *answer = upgrade ? &master->next : &master->answer;
	int r;

	if (master->stopping || master->taking == WISH_RELOAD || master->coming.pid > 0 ||
	    master->leaving.pid > 0)
		return pn_error_set(
		    err, -EBUSY, "not now: a reload is under way, or a relay comes or leaves");
	if (upgrade)
		code_begin(code, answer);
	r = child_start(code->program, "relay", PATIENCE_S, &master->coming, err);
	if (r < 0)
		return r;
	log_event(PN_LOG_NOTICE, "relay-to-be-replaced", "reason", why, NULL);
	master->coming_until_ms = clock_monotonic_ms() + COMING_MS;
	master->coming_closed = master->closed;
	if (crashes_hand_over(&master->crashes, &master->coming) == 0 &&
	    relays_send_config(&master->coming, master, answer,
		upgrade ? &master->next_sockets : &master->sockets) == 0)
		return 0;
	relays_kill(&master->coming); /* its end says the rest */
	return 0;
}

/* The one that has served is told last: until then posternctl may be waiting for it. */
void
relays_arrived(struct master *master)
{
	char number[24];

	snprintf(number, sizeof(number), "%ld", (long)master->coming.pid);
	log_event(PN_LOG_NOTICE, "relay-replaced", "relay", number, NULL);
	if (master->taking == WISH_UPGRADE)
		reload_applied(master, number);
	else
		code_begin(&master->code, &master->answer);
	master->leaving = master->relay;
	master->relay = master->coming;
	master->coming = nobody;
	watchdog_forget(&master->watchdog);
	master->started_ms = clock_monotonic_ms();
	master->restart_ms = 0;
	master->failures = 0;
	master->leaving_until_ms = master->started_ms + MASTER_STOP_MS;
	if (master->coming_closed != master->closed)
		channel_send(master->relay.fd, CHANNEL_CLOSED,
		    pn_slice_of(master->closed ? "1" : "0"), NULL, 0);
	if (master->leaving.pid > 0 &&
	    channel_send(master->leaving.fd, CHANNEL_LEAVE, pn_slice("", 0), NULL, 0) < 0)
		kill(master->leaving.pid, SIGTERM);
}

/* Without the one that served, if that has died meanwhile, another is needed after all. */
static void
does_not_come(struct master *master, const char *why)
{
	log_event(PN_LOG_ERROR, "relay-not-replaced", "reason", why, NULL);
	if (master->taking == WISH_UPGRADE)
		reload_failed(master, why);
	if (master->relay.pid == 0 && !master->stopping)
		plan_restart(master);
}

void
relays_give_up(struct master *master, const char *why)
{
	relays_kill(&master->coming);
	child_end(&master->coming);
	does_not_come(master, why);
}

/* ---- ends ---- */

static void
describe_end(int status, char *ret, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(
		    ret, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(ret, size, "exit status %d", WEXITSTATUS(status));
}

static void
relay_ended(struct master *master, const char *how)
{
	if (master->stopping)
		return;
	log_event(PN_LOG_ERROR, "relay-died", "how", how, NULL);
	if (master->taking == WISH_RELOAD)
		reload_failed(master, "the relay ended while it took the configuration");
	if (master->coming.pid == 0)
		plan_restart(master);
}

static void
coming_ended(struct master *master, const char *how)
{
	char why[160];

	snprintf(why, sizeof(why), "the new relay ended before it was ready: %s", how);
	does_not_come(master, why);
}

/* By the OOM killer or an administrator: the master itself kills what leaves too slowly. */
static bool
was_killed(const struct master *master, const struct child *child, int status)
{
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !master->stopping &&
	       child != &master->leaving;
}

static void
ended(struct master *master, pid_t pid, int status)
{
	struct child *child = pid == master->relay.pid     ? &master->relay
			      : pid == master->coming.pid  ? &master->coming
			      : pid == master->leaving.pid ? &master->leaving
							   : NULL;
	char how[80];

	if (!child)
		return;
	describe_end(status, how, sizeof(how));
	crashes_note(
	    &master->crashes, pid, was_killed(master, child, status), clock_monotonic_ms());
	close(child->fd);
	*child = nobody;
	if (child == &master->relay)
		relay_ended(master, how);
	else if (child == &master->coming)
		coming_ended(master, how);
	else
		log_event(
		    status == 0 ? PN_LOG_NOTICE : PN_LOG_ERROR, "relay-left", "how", how, NULL);
}

void
relays_reap(struct master *master)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		ended(master, pid, status);
}

void
relays_stop(struct master *master, int signal)
{
	const struct child *all[] = { &master->relay, &master->coming, &master->leaving };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i]->pid > 0)
			kill(all[i]->pid, signal);
}

bool
relays_any(const struct master *master)
{
	return master->relay.pid > 0 || master->coming.pid > 0 || master->leaving.pid > 0;
}

void
relays_look(struct master *master, int64_t now_ms)
{
	if (master->restart_ms && now_ms >= master->restart_ms)
		restart(master);
	if (master->coming.pid > 0 && now_ms >= master->coming_until_ms)
		relays_give_up(master, "the new relay was not ready in time");
	if (master->leaving.pid > 0 && now_ms >= master->leaving_until_ms) {
		log_text(PN_LOG_WARNING, "the relay that leaves does not end: killing it");
		relays_kill(&master->leaving);
		master->leaving_until_ms = now_ms + MASTER_STOP_MS;
	}
}

int64_t
relays_due(const struct master *master)
{
	int64_t due = INT64_MAX;

	if (master->restart_ms)
		due = master->restart_ms;
	if (master->coming.pid > 0 && master->coming_until_ms < due)
		due = master->coming_until_ms;
	if (master->leaving.pid > 0 && master->leaving_until_ms < due)
		due = master->leaving_until_ms;
	return due;
}
