/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.c - the relay's main thread: start, reload, drain.
 *
 * Started by the master with a checked configuration and listening sockets on its channel. Ends
 * when told to (SIGTERM) and when the master is gone; what was acknowledged is in the spool.
 */
#include <core/base/clock.h>
#include <core/base/log.h>
#include <core/ctl/recent.h>
#include <core/master/child.h>
#include <core/master/privileges.h>
#include <core/master/relay.h>
#include <core/master/relay_state.h>
#include <core/master/relay_watch.h>
#include <core/policy/blob.h>
#include <core/policy/crash.h>
#include <core/policy/listen.h>
#include <core/store/tables.h>
#include <errno.h>
#include <glib.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define DRAIN_MS        30000
#define ORPHAN_MS       2000 /* without a master: another may be waiting for the spool */
#define LANES_BY_ITSELF 8

/* ---- configuration ---- */

void
relay_log_diags(struct diags *diags)
{
	struct arena arena = { 0 };

	diags_sort(diags);
	for (size_t i = 0; i < diags->count; i++)
		log_event(diags->items[i].kind == DIAG_ERROR ? PN_LOG_ERROR : PN_LOG_WARNING,
		    "configuration", "text", diag_format(&diags->items[i], &arena), NULL);
	arena_free(&arena);
}

static void
set_up_log(const struct config_relay *config)
{
	log_setup("relay", (enum pn_level)config->log.level, (enum log_format)config->log.format);
	log_repeats_setup(config->log.repeats);
}

/* What stands before the bundle in a CHANNEL_CONFIG frame. */
struct config_head {
	json_t *json;
	const char *user;
	struct pn_slice bundle, blobs;
};

/* Warnings may stand behind it. */
static const char *
last_error(const struct diags *diags)
{
	for (size_t i = diags->count; i-- > 0;)
		if (diags->items[i].kind == DIAG_ERROR)
			return diags->items[i].text;
	return "a module could not start";
}

static int
build(struct relay *relay, const struct config_head *head, struct generation **ret,
    struct pn_error *err)
{
	struct generation_how how = { .folder = relay->folder,
		.module_path = relay->modules,
		.role = PN_ROLE_RELAY,
		.db = relay->db,
		.before = relay->generation };
	struct diags diags = { 0 };
	int r = relay_overrides_read(relay, &how.overrides, err);

	if (r == 0)
		r = source_bundle(head->bundle, &how.source, err);
	if (r < 0)
		return r;
	how.blobs = blobs_new();
	if (blobs_read(how.blobs, head->blobs) < 0)
		log_text(PN_LOG_WARNING, "what the checker compiled came damaged");
	r = generation_build(&how, &diags, ret);
	blobs_release(&how.blobs);
	relay_log_diags(&diags);
	if (r < 0)
		pn_error_set(err, r, "%s", last_error(&diags));
	diags_free(&diags);
	source_free(&how.source);
	return r;
}

static int
read_head(const struct channel_frame *frame, struct config_head *ret, struct pn_error *err)
{
	size_t len = strlen(frame->bytes.data);
	json_int_t blobs;

	ret->json = json_loads(frame->bytes.data, 0, NULL);
	if (!ret->json || len >= frame->bytes.len)
		return pn_error_set(err, -EPROTO, "the master's configuration makes no sense");
	ret->user = json_string_value(json_object_get(ret->json, "user"));
	ret->bundle = pn_slice(frame->bytes.data + len + 1, frame->bytes.len - len - 1);
	blobs = json_integer_value(json_object_get(ret->json, "blobs"));
	if (blobs < 0 || (uint64_t)blobs > ret->bundle.len)
		return pn_error_set(err, -EPROTO, "the master's configuration makes no sense");
	ret->bundle.len -= (size_t)blobs;
	ret->blobs = pn_slice(ret->bundle.data + ret->bundle.len, (size_t)blobs);
	return 0;
}

static char *
take_text(const struct config_head *head, const char *name)
{
	const char *text = json_string_value(json_object_get(head->json, name));

	return text ? strdup(text) : NULL;
}

/* The master's, so that they are those of the relay before; a master of an older build has none. */
static struct tls_tickets *
take_tickets(const struct config_head *head)
{
	const char *text = json_string_value(json_object_get(head->json, "tickets"));
	struct tls_ticket_seed seed;
	struct tls_tickets *tickets;

	if ((!text || tls_ticket_seed_parse(text, &seed) < 0) && tls_ticket_seed_make(&seed) < 0)
		return NULL; /* no random bytes: then there is no TLS either */
	tickets = tls_tickets_new(&seed);
	OPENSSL_cleanse(&seed, sizeof(seed));
	return tickets;
}

/* ---- reload ---- */

struct switch_task {
	struct loop_task task;
	struct relay *relay;
	struct lane *lane;
	struct settled *settled;
	int64_t within_ms; /* of a drain */
	bool hurry;
};

static void
lane_has_switched(struct loop_task *task)
{
	struct switch_task *change = (struct switch_task *)task;
	struct relay *relay = change->relay;
	char number[32];

	settled_release(&change->settled);
	free(change);
	if (--relay->switching > 0 || !relay->applying)
		return;
	relay->applying = false;
	snprintf(number, sizeof(number), "%llu",
	    (unsigned long long)generation_number(relay->generation));
	channel_send(CHILD_CHANNEL, CHANNEL_APPLIED, pn_slice_of(number), NULL, 0);
}

static void
switch_lane(struct loop_task *task)
{
	struct switch_task *change = (struct switch_task *)task;

	lane_configure(change->lane, change->settled);
	change->task.run = lane_has_switched;
	loop_post(change->relay->loop, &change->task);
}

void
relay_apply(struct relay *relay, struct settled *settled)
{
	const struct config_relay *config = &generation_core(settled->generation)->relay;
	struct generation *old = relay->generation;
	struct pn_error err = { 0 };

	relay->generation = generation_hold(settled->generation);
	generation_release(&old);
	settled_release(&relay->settled);
	relay->settled = settled_hold(settled);
	set_up_log(config);
	mail_bytes_budget((size_t)config->limits.memory);
	relay_spool_configure(relay);
	if (relay_pages_configure(relay, &err) < 0)
		log_event(PN_LOG_ERROR, "configuration", "text", err.text, NULL);
	relay_names_configure(relay);
	relay_sts_configure(relay);
	relay->switching += relay->lane_count;
	for (size_t i = 0; i < relay->lane_count; i++) {
		struct switch_task *change = calloc(1, sizeof(*change));

		if (!change)
			abort();
		change->task.run = switch_lane;
		change->relay = relay;
		change->lane = relay->lanes[i];
		change->settled = settled_hold(settled);
		loop_post(lane_loop(relay->lanes[i]), &change->task);
	}
}

/* What a running relay cannot change; a reload that says otherwise would be in force by half. */
static int
check_same(const struct relay *relay, const struct config_head *head, struct pn_error *err)
{
	const char *state = json_string_value(json_object_get(head->json, "state"));

	if (!state || strcmp(relay->state_directory, state) != 0)
		return pn_error_set(err, -EBUSY,
		    "relay.state_directory cannot change while the relay runs: stop it first");
	if (g_strcmp0(relay->user, head->user) != 0)
		return pn_error_set(
		    err, -EBUSY, "relay.user cannot change while the relay runs: stop it first");
	return 0;
}

static int
check_same_run(const struct relay *relay, struct generation **generation, struct pn_error *err)
{
	if (strcmp(generation_core(relay->generation)->relay.run_directory,
		generation_core(*generation)->relay.run_directory) == 0)
		return 0;
	generation_release(generation);
	return pn_error_set(
	    err, -EBUSY, "relay.run_directory cannot change while the relay runs: stop it first");
}

static int
settle(struct relay *relay, struct generation *generation, struct channel_frame *frame,
    struct settled **ret, struct pn_error *err)
{
	const struct settled_with with = { relay->capability, relay->tickets };

	return settled_new(generation, &with, frame, ret, err);
}

static void
take_config(struct relay *relay, struct channel_frame *frame)
{
	struct config_head head = { 0 };
	struct generation *generation = NULL;
	struct settled *settled = NULL;
	struct pn_error err = { 0 };
	int r = relay->draining ? pn_error_set(&err, -ESHUTDOWN, "the relay is stopping")
				: read_head(frame, &head, &err);

	if (r == 0)
		r = check_same(relay, &head, &err);
	if (r == 0)
		r = build(relay, &head, &generation, &err);
	if (r == 0)
		r = check_same_run(relay, &generation, &err);
	if (r == 0)
		r = settle(relay, generation, frame, &settled, &err);
	if (r == 0) {
		relay->applying = true;
		relay_apply(relay, settled);
		relay_served_configure(relay);
	} else {
		channel_send(CHILD_CHANNEL, CHANNEL_REFUSED, pn_slice_of(err.text), NULL, 0);
	}
	settled_release(&settled);
	json_decref(head.json);
}

/* ---- drain ---- */

static void
lane_has_drained(struct loop_task *task)
{
	struct switch_task *change = (struct switch_task *)task;
	struct relay *relay = change->relay;

	free(change);
	if (--relay->undrained == 0)
		loop_stop(relay->loop);
}

static void
say_drained(void *arg)
{
	struct switch_task *change = arg;

	change->task.run = lane_has_drained;
	loop_post(change->relay->loop, &change->task);
}

static void
drain_lane(struct loop_task *task)
{
	struct switch_task *change = (struct switch_task *)task;

	struct lane_drain how = { change->within_ms, change->hurry, &change->relay->occupied,
		say_drained, change };

	lane_drain(change->lane, &how);
}

static void
drain(struct relay *relay, int64_t within_ms, bool hurry)
{
	int64_t until = loop_now(relay->loop) + within_ms;

	if (relay->draining && until >= relay->drained_by_ms)
		return;
	relay->drained_by_ms = until;
	loop_timer_set(relay->loop, &relay->deadline, within_ms);
	if (relay->draining)
		return; /* the master has gone since: there is less time */
	relay->draining = true;
	relay_pages_close(relay);
	relay->undrained = relay->lane_count;
	atomic_store(&relay->occupied, relay->lane_count);
	for (size_t i = 0; i < relay->lane_count; i++) {
		struct switch_task *change = calloc(1, sizeof(*change));

		if (!change)
			abort();
		change->task.run = drain_lane;
		change->within_ms = within_ms;
		change->hurry = hurry;
		change->relay = relay;
		change->lane = relay->lanes[i];
		loop_post(lane_loop(relay->lanes[i]), &change->task);
	}
}

static void
log_unheard(const struct relay *relay)
{
	size_t count = 0;
	char number[24];

	for (size_t i = 0; i < relay->lane_count; i++)
		count += lane_outcomes_waiting(relay->lanes[i]);
	snprintf(number, sizeof(number), "%zu", count);
	if (count > 0)
		log_event(PN_LOG_ERROR, "outcomes-dropped", "count", number, "why",
		    "the relay leaves, and outcome hooks have not heard of them", NULL);
}

/*
 * Someone hangs: everything durable is durable, the rest was never acknowledged. Lanes still run,
 * so nothing is freed: the spool writes what it was given and then takes no more.
 */
static void
on_deadline(struct loop_timer *timer)
{
	struct relay *relay = (struct relay *)((char *)timer - offsetof(struct relay, deadline));

	log_text(PN_LOG_WARNING, "not everything ended in time; leaving");
	log_unheard(relay);
	spool_stop(relay->spool);
	log_flush_all();
	_exit(EXIT_SUCCESS);
}

/* ---- events of the main loop ---- */

/* Another relay has the sockets too, and serves. */
static void
leave(struct relay *relay)
{
	log_event(PN_LOG_NOTICE, "leaving", NULL);
	relay_control_outcome(
	    relay, "{\"ok\": false, \"text\": \"the relay was replaced meanwhile; ask again\"}");
	drain(relay, DRAIN_MS, false);
}

static void
take_code(struct relay *relay, const char *lines)
{
	free(relay->changed_code);
	relay->changed_code = *lines ? strdup(lines) : NULL;
	for (char *at = relay->changed_code; at && (at = strchr(at, '\n'));)
		*at = at[1] ? ' ' : '\0';
}

static void
on_channel(struct loop_io *io, uint32_t events)
{
	struct relay *relay = (struct relay *)((char *)io - offsetof(struct relay, channel));
	struct channel_frame frame;

	if (channel_receive(io->fd, &frame) != 1) {
		log_text(PN_LOG_WARNING, "the master is gone; leaving");
		loop_unwatch(relay->loop, io);
		drain(relay, ORPHAN_MS, true);
		return;
	}
	if (frame.type == CHANNEL_CONFIG)
		take_config(relay, &frame);
	else if (frame.type == CHANNEL_LEAVE)
		leave(relay);
	else if (frame.type == CHANNEL_CLOSED)
		relay_drain_set(relay, strcmp(frame.bytes.data, "1") == 0);
	else if (frame.type == CHANNEL_CODE)
		take_code(relay, frame.bytes.data);
	else if (frame.type == CHANNEL_OUTCOME)
		relay_control_outcome(relay, frame.bytes.data);
	channel_frame_free(&frame);
}

static void
on_signal(struct loop_io *io, uint32_t events)
{
	struct relay *relay = (struct relay *)((char *)io - offsetof(struct relay, signals));
	struct signalfd_siginfo info;

	if (read(io->fd, &info, sizeof(info)) == sizeof(info))
		drain(relay, DRAIN_MS, true);
}

/* SIGINT and SIGHUP of a terminal reach the whole group: they are the master's to act on. */
static int
catch_signals(struct relay *relay)
{
	sigset_t set;

	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	relay->signals.ready = on_signal;
	relay->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (relay->signals.fd < 0)
		return -errno;
	return loop_watch(relay->loop, &relay->signals, EPOLLIN);
}

/* ---- start ---- */

static int
open_db(struct relay *relay, struct pn_error *err)
{
	char *path = g_strdup_printf("%s/postern.db", relay->state_directory);
	int r = db_open(path, false, &relay->db, err);

	g_free(path);
	return r < 0 ? r : tables_migrate(relay->db, err);
}

static size_t
processors(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (size_t)n : 1;
}

static int
make_lanes(struct relay *relay, struct settled *settled, struct pn_error *err)
{
	const struct config_relay *config = &generation_core(relay->generation)->relay;
	size_t count = config->loops ? (size_t)config->loops : MIN(processors(), LANES_BY_ITSELF);
	struct lane_parts parts = { .jobs = relay->jobs,
		.resolver = relay->resolver,
		.dns = relay->dns,
		.spool = relay->spool,
		.shaping = relay->shaping,
		.sts = relay->sts,
		.shared = relay->shared };
	int r = 0;

	for (size_t i = 0; r == 0 && i < MIN(count, RELAY_LANES_MOST); i++) {
		parts.ticks = i == 0;
		r = lane_new(&parts, &relay->lanes[i], err);
		if (r == 0) {
			relay->lane_count++;
			lane_configure(relay->lanes[i], settled);
		}
	}
	return r;
}

static int
make_parts(struct relay *relay, struct pn_error *err)
{
	const struct config_relay *config = &generation_core(relay->generation)->relay;
	int r = jobs_new(jobs_threads(config->policy_threads), &relay->jobs, err);

	mail_bytes_budget((size_t)config->limits.memory);
	if (r == 0)
		r = relay_names_open(relay, err);
	if (r == 0)
		r = relay_sts_open(relay, err);
	if (r == 0)
		r = server_shared_new(&relay->shared);
	if (r == 0) {
		server_shared_close(relay->shared, relay->closed);
		r = recent_start((size_t)config->trace_memory);
	}
	return r;
}

static int
start_mail(struct relay *relay, struct settled *settled, struct pn_error *err)
{
	int r = make_parts(relay, err);

	if (r == 0)
		r = relay_spool_open(relay, err);
	if (r == 0)
		relay_sts_start(relay);
	if (r == 0)
		r = make_lanes(relay, settled, err);
	for (size_t i = 0; r == 0 && i < relay->lane_count; i++)
		r = lane_start(relay->lanes[i], err);
	return r == 0 ? relay_spool_inherit(relay, err) : r;
}

static int
open_main_loop(struct relay *relay, struct pn_error *err)
{
	int r = loop_new(&relay->loop, err);

	if (r < 0)
		return r;
	relay->deadline.fire = on_deadline;
	r = catch_signals(relay);
	relay->channel.ready = on_channel;
	relay->channel.fd = CHILD_CHANNEL;
	if (r == 0)
		r = loop_watch(relay->loop, &relay->channel, EPOLLIN);
	return r < 0 ? pn_error_set(err, r, "cannot watch the master's channel: %s", strerror(-r))
		     : 0;
}

static int
start(struct relay *relay, struct channel_frame *frame, struct pn_error *err)
{
	struct config_head head = { 0 };
	struct generation *generation = NULL;
	struct settled *settled = NULL;
	int r = read_head(frame, &head, err);

	if (r < 0)
		goto out;
	relay->folder = take_text(&head, "folder");
	relay->modules = take_text(&head, "modules");
	relay->state_directory = take_text(&head, "state");
	relay->user = take_text(&head, "user");
	r = relay->folder && relay->modules && relay->state_directory
		? privileges_drop(head.user, err)
		: pn_error_set(err, -EPROTO, "the master's configuration lacks a folder");
	if (r == 0)
		r = open_main_loop(relay, err);
	if (r == 0)
		r = open_db(relay, err);
	if (r == 0)
		r = build(relay, &head, &generation, err);
	if (r < 0)
		goto out;
	relay->generation = generation_hold(generation);
	set_up_log(&generation_core(generation)->relay);
	relay->capability = capability_new();
	relay->tickets = take_tickets(&head);
	relay->shaping = shaping_new();
	r = settle(relay, generation, frame, &settled, err);
	if (r == 0) {
		relay->settled = settled_hold(settled);
		relay->closed = json_is_true(json_object_get(head.json, "closed"));
		r = start_mail(relay, settled, err);
	}
	if (r == 0)
		r = control_open(relay->loop,
		    generation_core(relay->generation)->relay.run_directory, relay_commands, relay,
		    &relay->control, err);
	if (r == 0)
		r = relay_pages_configure(relay, err);
	if (r == 0) {
		relay_overrides_start(relay);
		relay_outbox_start(relay);
		relay_served_start(relay);
	}
out:
	settled_release(&settled);
	json_decref(head.json);
	return r;
}

static void
finish(struct relay *relay)
{
	control_close(&relay->control);
	for (size_t i = 0; i < relay->lane_count; i++)
		lane_join(relay->lanes[i]);
	relay_watch_stop(relay);
	spool_close(&relay->spool);
	if (!jobs_end(relay->jobs, MAX(relay->drained_by_ms - clock_monotonic_ms(), 0)) ||
	    !relay_names_end(relay, MAX(relay->drained_by_ms - clock_monotonic_ms(), 0)) ||
	    !relay_sts_end(relay, MAX(relay->drained_by_ms - clock_monotonic_ms(), 0)) ||
	    !relay_served_end(relay, MAX(relay->drained_by_ms - clock_monotonic_ms(), 0))) {
		/* Hooks and look-ups that have not returned read what would be freed here. */
		log_text(PN_LOG_WARNING, "hooks have not returned; leaving without them");
		_exit(EXIT_SUCCESS);
	}
	jobs_free(&relay->jobs);
	for (size_t i = 0; i < relay->lane_count; i++)
		lane_free(&relay->lanes[i]);
	relay_spool_free(relay);
	server_shared_free(&relay->shared);
	relay_names_free(relay);
	relay_sts_free(relay);
	capability_release(&relay->capability);
	shaping_release(&relay->shaping);
	tls_tickets_release(&relay->tickets);
	if (relay->generation) {
		listen_last(relay->generation, PN_STAGE_FLUSH);
		generation_stop(relay->generation);
	}
	settled_release(&relay->settled);
	relay_served_free(relay);
	relay_overrides_free(relay);
	relay_outbox_free(relay);
	generation_release(&relay->generation);
	db_close(&relay->db);
	loop_free(&relay->loop);
	free(relay->folder);
	free(relay->modules);
	free(relay->state_directory);
	free(relay->user);
	free(relay->changed_code);
}

/* The first frame, before threads begin; then the configuration comes. */
static int
share_crashes(struct channel_frame *ret, struct pn_error *err)
{
	int r;

	if (channel_receive(CHILD_CHANNEL, ret) != 1)
		_exit(EXIT_FAILURE); /* the master is gone */
	if (ret->type != CHANNEL_CRASHES || ret->fd_count != 1)
		return pn_error_set(err, -EPROTO, "the master shares no memory");
	r = crash_open(ret->fds[0], err);
	ret->fds[0] = -1;
	channel_frame_free(ret);
	if (channel_receive(CHILD_CHANNEL, ret) != 1)
		_exit(EXIT_FAILURE);
	return r;
}

/*
 * The heap keeps what it has: by default glibc gives the top of a thread's heap back after every
 * message and asks for it again, page by page, with the next.
 */
#define HEAP_SPARE (8 * 1024 * 1024)

int
relay_main(void)
{
	struct relay relay = { .started_us = clock_wall_us() };
	struct channel_frame frame;
	struct pn_error err = { 0 };
	int r;

	prctl(PR_SET_NAME, "postern-relay");
	mallopt(M_TRIM_THRESHOLD, HEAP_SPARE);
	log_setup("relay", PN_LOG_INFO, LOG_BY_PLACE);
	r = share_crashes(&frame, &err);
	if (r == 0)
		r = start(&relay, &frame, &err);
	channel_frame_free(&frame);
	if (r < 0) {
		log_event(PN_LOG_ERROR, "relay-not-started", "reason", err.text, NULL);
		channel_send(CHILD_CHANNEL, CHANNEL_REFUSED, pn_slice_of(err.text), NULL, 0);
		_exit(EXIT_FAILURE); /* threads may run; nothing was accepted yet */
	}
	channel_send(CHILD_CHANNEL, CHANNEL_READY, pn_slice("", 0), NULL, 0);
	log_event(PN_LOG_NOTICE, "ready", "version", POSTERN_VERSION, NULL);
	relay_watch_start(&relay);
	loop_run(relay.loop);
	finish(&relay);
	log_repeats_tell(true);
	log_event(PN_LOG_NOTICE, "stopped", NULL);
	return EXIT_SUCCESS;
}
