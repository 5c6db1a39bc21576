/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master.c - supervises: checks the configuration, opens the sockets, keeps a relay running.
 *
 * The only process that may be root for long. It loads no module, parses no YAML and touches no
 * mail; what it does with foreign bytes is to hand them on. A relay that dies is replaced at once
 * on the same sockets and the same checked configuration.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/master/channel.h>
#include <core/master/checker.h>
#include <core/master/child.h>
#include <core/master/master.h>
#include <core/master/privileges.h>
#include <core/master/sockets.h>
#include <core/master/watch.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define PATIENCE_S   10    /* for a relay that stops in the middle of a frame */
#define STOP_MS      35000 /* the relay's own deadline is 30 s */
#define BUSY_MS      5000 /* at start: a relay whose master was killed is still closing its sockets */
#define RESTART_MOST 1000  /* a killed relay accepts again within about a second, always */
#define RESTART_CALM 60000 /* a relay that lived this long starts with a clean slate */

struct master {
	const char *folder, *modules;
	struct checker_answer answer, next; /* in force; being taken by the relay */
	struct sockets sockets, next_sockets;
	struct watch watch;
	int64_t read_us;         /* wall time before the newest configuration was read */
	bool taking;             /* `next` was sent and not yet answered */
	bool asked;              /* posternctl waits for what comes of it */
	bool again, again_asked; /* another was wanted meanwhile */
	struct child relay;
	int signals, state; /* state: the folder's lock */
	bool ready, stopping;
	int64_t started_ms, restart_ms; /* restart_ms 0: no restart due */
	unsigned failures;
	int64_t kill_ms;
};

/* ---- the relay ---- */

static char *
config_json(const struct master *master, const struct checker_answer *answer, size_t *ret_len)
{
	json_t *names = json_array(), *config;
	char *text;

	for (size_t i = 0; i < answer->listener_count; i++)
		json_array_append_new(names, json_string(answer->listeners[i].name));
	config = json_pack("{s:s, s:s, s:s, s:s?, s:o}", "folder", master->folder, "modules",
	    master->modules, "state", answer->state_directory, "user", answer->user, "listeners",
	    names);
	text = config ? json_dumps(config, JSON_COMPACT) : NULL;
	json_decref(config);
	*ret_len = text ? strlen(text) + 1 : 0;
	return text;
}

static int
send_config(
    struct master *master, const struct checker_answer *answer, const struct sockets *sockets)
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
		r = channel_send(
		    master->relay.fd, CHANNEL_CONFIG, buf_slice(&frame), fds, sockets->count);
	buf_wipe(&frame);
	free(text);
	return r;
}

/* Frames no longer make sense in one direction. Its end is noticed, and another one is started. */
static void
give_up(const struct master *master)
{
	if (master->relay.pid > 0)
		kill(master->relay.pid, SIGKILL);
}

static int
start_relay(struct master *master, struct pn_error *err)
{
	int r = child_start("relay", PATIENCE_S, &master->relay, err);

	master->started_ms = clock_monotonic_ms();
	master->restart_ms = 0;
	if (r < 0)
		return r;
	r = send_config(master, &master->answer, &master->sockets);
	if (r == 0)
		return 0;
	give_up(master);
	return pn_error_set(err, r, "cannot hand the relay its configuration");
}

static void
restart_relay(struct master *master)
{
	struct pn_error err = { 0 };

	if (start_relay(master, &err) == 0)
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

static void
describe_end(int status, char *ret, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(
		    ret, size, "signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(ret, size, "exit status %d", WEXITSTATUS(status));
}

static void reload_failed(struct master *master, const char *text);

static void
relay_ended(struct master *master, int status)
{
	char how[80];

	describe_end(status, how, sizeof(how));
	close(master->relay.fd);
	master->relay = (struct child){ 0, -1 };
	if (master->stopping)
		return;
	log_event(PN_LOG_ERROR, "relay-died", "how", how, NULL);
	if (master->taking)
		reload_failed(master, "the relay ended while it took the configuration");
	plan_restart(master);
}

static void
reap(struct master *master)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == master->relay.pid)
			relay_ended(master, status);
}

/* ---- reload ---- */

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

static void
reload_failed(struct master *master, const char *text)
{
	log_event(PN_LOG_ERROR, "reload-refused", "reason", text, NULL);
	if (master->taking) {
		sockets_close_others(&master->next_sockets, &master->sockets);
		checker_answer_free(&master->next);
		master->taking = false;
	}
	tell_outcome(master, false, text);
	sd_notify(0, "READY=1");
}

static void
reload(struct master *master, bool asked)
{
	struct pn_error err = { 0 };

	if (master->taking) { /* what it reads may be older than what is wanted */
		master->again = true;
		master->again_asked |= asked;
		return;
	}
	master->asked = asked;
	if (master->stopping || master->relay.fd < 0) {
		tell_outcome(master, false, "not now: the relay starts or stops");
		return;
	}
	sd_notify(0, "RELOADING=1");
	master->taking = true;
	master->read_us = clock_wall_us();
	master->next_sockets.count = 0;
	if (checker_run(master->folder, master->modules, &master->next, &err) < 0) {
		const char *lines = buf_text(&master->next.diagnostics);
		char text[4096];

		snprintf(text, sizeof(text), "%s%s", lines ? lines : "", err.text);
		reload_failed(master, text);
		return;
	}
	if (sockets_open(&master->sockets, &master->next, 0, &master->next_sockets, &err) < 0) {
		reload_failed(master, err.text);
	} else if (send_config(master, &master->next, &master->next_sockets) < 0) {
		reload_failed(master, "the relay does not take it");
		give_up(master);
	}
}

static void
reload_applied(struct master *master, const char *text)
{
	const char *lines = buf_text(&master->next.diagnostics);
	char said[4096];

	sockets_close_others(&master->sockets, &master->next_sockets);
	checker_answer_free(&master->answer);
	watch_set(&master->watch, &master->next, master->read_us);
	master->answer = master->next;
	master->sockets = master->next_sockets;
	master->taking = false;
	snprintf(said, sizeof(said), "%s%s", lines ? lines : "", text);
	log_event(PN_LOG_NOTICE, "reloaded", "generation", text, NULL);
	tell_outcome(master, true, said);
	sd_notify(0, "READY=1");
}

/* ---- events ---- */

static void
relay_says(struct master *master)
{
	struct channel_frame frame;

	/* It is ending, and SIGCHLD will tell how; if it only seems so, it is made to. */
	if (channel_receive(master->relay.fd, &frame) != 1) {
		give_up(master);
		return;
	}
	if (frame.type == CHANNEL_READY && !master->ready) {
		master->ready = true;
		sd_notify(0, "READY=1");
	} else if (frame.type == CHANNEL_RELOAD) {
		reload(master, true);
	} else if (frame.type == CHANNEL_REFUSED && master->taking) {
		reload_failed(master, frame.bytes.data);
	} else if (frame.type == CHANNEL_APPLIED && master->taking) {
		reload_applied(master, frame.bytes.data);
	}
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
	master->kill_ms = clock_monotonic_ms() + STOP_MS;
	if (master->relay.pid > 0)
		kill(master->relay.pid, SIGTERM);
}

static void
take_signal(struct master *master)
{
	struct signalfd_siginfo info;

	if (read(master->signals, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGCHLD:
		reap(master);
		break;
	case SIGHUP:
		reload(master, false);
		break;
	default:
		begin_stop(master, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
	}
}

static int
next_wait(const struct master *master)
{
	int64_t due = master->stopping ? master->kill_ms : master->watch.due_ms, wait;

	if (!master->stopping && master->restart_ms && master->restart_ms < due)
		due = master->restart_ms;
	wait = due - clock_monotonic_ms();
	return wait < 0 ? 0 : (int)wait;
}

/* A reload that was wanted while another was under way. */
static void
reload_again(struct master *master)
{
	bool asked = master->again_asked;

	if (!master->again || master->taking)
		return;
	master->again = master->again_asked = false;
	reload(master, asked);
}

/* A certificate was renewed, a password file replaced: the same as a reload. */
static void
look_at_files(struct master *master)
{
	const char *changed;

	if (master->taking || master->relay.fd < 0) {
		master->watch.due_ms = clock_monotonic_ms() + WATCH_MS;
		return; /* what has changed is still different then */
	}
	changed = watch_look(&master->watch);
	if (!changed)
		return;
	log_event(PN_LOG_NOTICE, "file-changed", "path", changed, NULL);
	reload(master, false);
}

static void
look_at_clock(struct master *master)
{
	int64_t now = clock_monotonic_ms();

	if (master->stopping && now >= master->kill_ms && master->relay.pid > 0) {
		log_text(PN_LOG_WARNING, "the relay does not end: killing it");
		kill(master->relay.pid, SIGKILL);
		master->kill_ms = now + STOP_MS;
	} else if (!master->stopping && master->restart_ms && now >= master->restart_ms) {
		restart_relay(master);
	}
	if (!master->stopping && now >= master->watch.due_ms)
		look_at_files(master);
}

static void
supervise(struct master *master)
{
	while (!master->stopping || master->relay.pid > 0) {
		struct pollfd fds[2] = { { .fd = master->signals, .events = POLLIN },
			{ .fd = master->relay.fd, .events = POLLIN } };

		if (poll(fds, 2, next_wait(master)) < 0 && errno != EINTR)
			break;
		if (fds[1].revents & POLLIN)
			relay_says(master);
		else if (fds[1].revents)
			reap(master);
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

static int
prepare(struct master *master, struct pn_error *err)
{
	const char *lines;
	int r;

	master->read_us = clock_wall_us();
	r = checker_run(master->folder, master->modules, &master->answer, err);
	lines = buf_text(&master->answer.diagnostics);

	if (lines)
		fputs(lines, stderr);
	if (r < 0)
		return r;
	watch_set(&master->watch, &master->answer, master->read_us);
	log_setup("master", (enum pn_level)master->answer.log_level);
	r = privileges_folder(master->answer.state_directory, master->answer.user, 0700, err);
	if (r == 0)
		r = claim_state(master, err);
	if (r == 0)
		r = privileges_folder(master->answer.run_directory, master->answer.user, 0755, err);
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
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int
master_main(const char *folder, const char *modules)
{
	struct master master = {
		.folder = folder, .modules = modules, .relay = { 0, -1 }, .state = -1
	};
	struct sockets none = { 0 };
	struct pn_error err = { 0 };
	int r;

	log_setup("master", PN_LOG_INFO);
	master.signals = catch_signals();
	r = prepare(&master, &err);
	if (r == 0)
		r = start_relay(&master, &err);
	if (r == 0)
		supervise(&master);
	else
		fprintf(stderr, "posternd: %s\n", err.text);
	sockets_close_others(&master.sockets, &none);
	watch_free(&master.watch);
	checker_answer_free(&master.answer);
	close(master.signals);
	if (master.state >= 0)
		close(master.state);
	return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
