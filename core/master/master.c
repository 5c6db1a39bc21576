/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master.c - supervises: checks the configuration, opens the sockets, keeps a relay running.
 *
 * The only process that may be root for long. It loads no module, parses no YAML and touches no
 * mail; what it does with foreign bytes is to hand them on. What it does about relays is in
 * relays.c, about new configurations in reload.c.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/master/master.h>
#include <core/master/master_state.h>
#include <core/master/permissions.h>
#include <core/master/privileges.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define BUSY_MS 5000 /* at start: a relay whose master was killed is still closing its sockets */

/* ---- events ---- */

/* If it cannot be just now, it will ask again. */
static void
replace_worn(struct master *master, const char *why)
{
	struct pn_error err = { 0 };

	if (relays_replace(master, why, &err) < 0)
		log_event(PN_LOG_WARNING, "relay-not-replaced", "reason", err.text, NULL);
}

/* The relay that serves. */
static void
relay_says(struct master *master)
{
	struct channel_frame frame;

	/* It is ending, and SIGCHLD will tell how; if it only seems so, it is made to. */
	if (channel_receive(master->relay.fd, &frame) != 1) {
		relays_kill(&master->relay);
		return;
	}
	if (frame.type == CHANNEL_READY && !master->ready) {
		master->ready = true;
		sd_notify(0, "READY=1");
	} else if (frame.type == CHANNEL_RELOAD || frame.type == CHANNEL_UPGRADE) {
		reload_begin(
		    master, frame.type == CHANNEL_RELOAD ? WISH_RELOAD : WISH_UPGRADE, true);
	} else if (frame.type == CHANNEL_CLOSED) {
		master->closed = strcmp(frame.bytes.data, "1") == 0;
	} else if (frame.type == CHANNEL_TURNS) {
		watchdog_heard(&master->watchdog);
	} else if (frame.type == CHANNEL_WORN) {
		replace_worn(master, frame.bytes.data);
	} else if (frame.type == CHANNEL_REFUSED && master->taking == WISH_RELOAD) {
		reload_failed(master, frame.bytes.data);
	} else if (frame.type == CHANNEL_APPLIED && master->taking == WISH_RELOAD) {
		reload_applied(master, frame.bytes.data);
	}
	channel_frame_free(&frame);
}

static void
coming_says(struct master *master)
{
	struct channel_frame frame;

	if (channel_receive(master->coming.fd, &frame) != 1) {
		relays_kill(&master->coming);
		return;
	}
	if (frame.type == CHANNEL_READY)
		relays_arrived(master);
	else if (frame.type == CHANNEL_REFUSED)
		relays_give_up(master, frame.bytes.data);
	channel_frame_free(&frame);
}

/* What it was asked before it left is asked of the other one, too late for who asked here. */
static void
leaving_says(struct master *master)
{
	struct channel_frame frame;

	if (channel_receive(master->leaving.fd, &frame) != 1)
		relays_kill(&master->leaving);
	else
		channel_frame_free(&frame);
}

static void
begin_stop(struct master *master, const char *why)
{
	if (master->stopping)
		return;
	master->stopping = true;
	log_event(PN_LOG_NOTICE, "stopping", "reason", why, NULL);
	sd_notify(0, "STOPPING=1");
	master->stop_until_ms = clock_monotonic_ms() + MASTER_STOP_MS;
	relays_stop(master, SIGTERM);
}

static void
take_signal(struct master *master)
{
	struct signalfd_siginfo info;

	if (read(master->signals, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGCHLD:
		relays_reap(master);
		break;
	case SIGHUP:
		reload_begin(master, WISH_RELOAD, false);
		break;
	case SIGUSR2:
		reload_begin(master, WISH_UPGRADE, false);
		break;
	default:
		begin_stop(master, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
	}
}

static int
next_wait(const struct master *master)
{
	int64_t due = master->stopping ? master->stop_until_ms : master->watch.due_ms, wait;

	if (!master->stopping && relays_due(master) < due)
		due = relays_due(master);
	if (watchdog_due(&master->watchdog) < due)
		due = watchdog_due(&master->watchdog);
	wait = due - clock_monotonic_ms();
	return wait < 0 ? 0 : (int)wait;
}

static void
look_at_clock(struct master *master)
{
	int64_t now = clock_monotonic_ms();

	watchdog_look(&master->watchdog, now, master->stopping);
	if (!master->stopping) {
		relays_look(master, now);
		if (now >= master->watch.due_ms)
			reload_look(master);
	} else if (now >= master->stop_until_ms) {
		log_text(PN_LOG_WARNING, "the relay does not end: killing it");
		relays_stop(master, SIGKILL);
		master->stop_until_ms = now + MASTER_STOP_MS;
	}
}

static void
supervise(struct master *master)
{
	while (!master->stopping || relays_any(master)) {
		struct pollfd fds[4] = { { .fd = master->signals, .events = POLLIN },
			{ .fd = master->relay.fd, .events = POLLIN },
			{ .fd = master->coming.fd, .events = POLLIN },
			{ .fd = master->leaving.fd, .events = POLLIN } };

		if (poll(fds, 4, next_wait(master)) < 0 && errno != EINTR)
			break;
		/* Each may change who is who, so one of them a turn. */
		if (fds[1].revents)
			relay_says(master);
		else if (fds[2].revents)
			coming_says(master);
		else if (fds[3].revents)
			leaving_says(master);
		if (fds[0].revents & POLLIN)
			take_signal(master);
		look_at_clock(master);
		reload_again(master);
	}
}

/* ---- start ---- */

/* The kernel lets go of it with this process, however that ends; children do not inherit it. */
static int
claim_state(struct master *master, struct pn_error *err)
{
	const char *path = master->answer.state_directory;

	master->state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (master->state < 0)
		return pn_error_set(err, -errno, "%s: cannot open: %s", path, strerror(errno));
	if (flock(master->state, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return pn_error_set(err, -EBUSY,
		    "%s: another posternd runs on this folder (relay.state_directory)", path);
	return pn_error_set(err, -errno, "%s: cannot lock: %s", path, strerror(errno));
}

static void
tell_fault(void *arg, const char *text)
{
	fprintf(stderr, "%s\n", text);
}

/* Before anything is made, opened or trusted. */
static int
check_permissions(const struct master *master, struct pn_error *err)
{
	const struct permissions what = { .folder = master->folder,
		.modules = master->modules,
		.state = master->answer.state_directory,
		.run = master->answer.run_directory,
		.user = master->answer.user,
		.fault = tell_fault };
	size_t faults = permissions_check(&what);

	if (faults == 0)
		return 0;
	return pn_error_set(
	    err, -EPERM, "%zu fault%s in permissions", faults, faults == 1 ? "" : "s");
}

static int
prepare(struct master *master, struct pn_error *err)
{
	const char *lines;
	int r;

	master->read_us = clock_wall_us();
	r = code_own(&master->code, err);
	if (r < 0)
		return r;
	r = checker_run(
	    master->code.program, master->folder, master->modules, &master->answer, err);
	lines = buf_text(&master->answer.diagnostics);

	if (lines)
		fputs(lines, stderr);
	if (r < 0)
		return r;
	watch_set(&master->watch, &master->answer, master->folder, master->read_us);
	log_setup("master", (enum pn_level)master->answer.log_level,
	    (enum log_format)master->answer.log_format);
	r = check_permissions(master, err);
	if (r == 0)
		r = privileges_folder(
		    master->answer.state_directory, master->answer.user, 0700, err);
	if (r == 0)
		r = claim_state(master, err);
	if (r == 0)
		r = privileges_folder(master->answer.run_directory, master->answer.user, 0755, err);
	if (r == 0)
		r = activation_match(&master->activation, &master->answer, &master->sockets, err);
	if (r == 0)
		r = sockets_open(
		    &master->sockets, &master->answer, BUSY_MS, &master->next_sockets, err);
	if (r == 0)
		master->sockets = master->next_sockets;
	return r;
}

static int
catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int
master_main(const char *folder, const char *modules)
{
	struct master master = { .folder = folder,
		.modules = modules,
		.relay = { 0, -1 },
		.coming = { 0, -1 },
		.leaving = { 0, -1 },
		.code = { .program = -1 },
		.crashes = { .fd = -1 },
		.state = -1 };
	struct sockets none = { 0 };
	struct pn_error err = { 0 };
	int r;

	log_setup("master", PN_LOG_INFO, LOG_BY_PLACE);
	master.signals = catch_signals();
	activation_take(&master.activation);
	watchdog_start(&master.watchdog);
	r = tls_ticket_seed_make(&master.tickets);
	if (r < 0)
		pn_error_set(&err, r, "the system gives no random bytes");
	if (r == 0)
		r = crashes_open(&master.crashes, &err);
	if (r == 0)
		r = prepare(&master, &err);
	activation_free(&master.activation);
	if (r == 0)
		r = relays_start(&master, &err);
	if (r == 0)
		supervise(&master);
	else
		fprintf(stderr, "posternd: %s\n", err.text);
	sockets_close_others(&master.sockets, &none);
	watch_free(&master.watch);
	code_free(&master.code);
	crashes_close(&master.crashes);
	checker_answer_free(&master.answer);
	close(master.signals);
	if (master.state >= 0)
		close(master.state);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
