/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_loop.c - the life of a session, and its way between the loop and the policy threads.
 *
 * Driven by its stream's events, by policy threads that end and by the queue's answers, all on the
 * loop. The loop steps the session until it must wait; when a hook may block, a policy thread goes
 * on stepping, and what it ended with is settled here. While the session is away nothing on the
 * loop may look at it but `away`; it comes back when the hook's time is up at the latest.
 */
#include <core/smtp/server_shared.h>
#include <core/smtp/session_inner.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define OUT_MOST        (64u * 1024) /* replies of one batch */
#define UNSENT_MOST     (64u * 1024) /* the client does not read: neither do we */
#define FINISH_MS       10000
#define FINISH_DRAIN_MS 1000

static void drive(struct session *session);
static void settle_all(struct session *session, enum session_step step);

static void
session_free(struct session *session)
{
	struct server *server = session->server;
	struct crowd_place *crowd = session->crowd;
	bool offends = session->offends;

	*session->link = session->next;
	if (session->next)
		session->next->link = session->link;
	loop_timer_cancel(server->parts.loop, &session->soon);
	txn_free(&session->txn);
	mail_bytes_release(&session->scanner.bytes);
	generation_release(&session->generation);
	buf_free(&session->out);
	buf_wipe(&session->secret);
	session_set(&session->helo, NULL, 0);
	session_set(&session->user, NULL, 0);
	session_set(&session->mechanisms, NULL, 0);
	session_set(&session->attempt, NULL, 0);
	arena_free(&session->arena);
	free(session);
	server_forget(server, crowd, offends);
}

static void
pause_reading(struct session *session)
{
	if (session->paused)
		return;
	session->paused = true;
	stream_pause(&session->stream);
}

static void
resume_reading(struct session *session)
{
	if (!session->paused)
		return;
	session->paused = false;
	stream_resume(&session->stream);
}

static void
set_deadline(struct session *session, int64_t ms)
{
	session->timed = ms > 0;
	stream_deadline(&session->stream, ms);
}

static void
queue_replies(struct session *session)
{
	if (session->out.len > 0 &&
	    stream_write(&session->stream, session->out.data, session->out.len) < 0)
		session->broken = session->closing = true;
	buf_free(&session->out); /* an idle session keeps no buffer */
}

/* Sends the replies of the batch with one write. */
static void
flush(struct session *session)
{
	if (session->out.len == 0)
		return;
	queue_replies(session);
	if (!session->broken)
		stream_flush(&session->stream);
}

/* A drain waits for what is to be sent, not for clients that never close. */
static int64_t
linger_ms(const struct session *session)
{
	const struct server *server = session->server;

	return atomic_load(&server->draining) || server_shared_is_closed(server->parts.shared)
		   ? FINISH_DRAIN_MS
		   : FINISH_MS;
}

/* Nothing is left to do but sending what was written. The stream calls `lost` at the end. */
static void
finish(struct session *session)
{
	queue_replies(session); /* they leave together with the end of TLS */
	if (session->broken) {
		stream_close(&session->stream);
		session_free(session);
		return;
	}
	session->finishing = true;
	resume_reading(session);
	set_deadline(session, linger_ms(session));
	stream_finish(&session->stream);
}

/* Sends, and says whether the client reads it; else nothing happens before it has, or time is up.
 */
static bool
flush_is_read(struct session *session)
{
	flush(session);
	if (session->broken || stream_unsent(&session->stream) <= UNSENT_MOST)
		return true;
	pause_reading(session);
	session->clogged = true;
	set_deadline(session, session_limits(session)->idle_timeout);
	return false;
}

static void
wait_for_input(struct session *session)
{
	int64_t patience;

	if (!flush_is_read(session))
		return;
	if (session->active || !session->timed) {
		patience = session_patience(session);
		set_deadline(session, patience > 0 ? patience : 1);
	}
	session->active = false;
	session_waits(session);
	resume_reading(session);
}

static void
delay_over(struct loop_timer *timer)
{
	struct session *session = (struct session *)((char *)timer -
						     offsetof(struct session, soon));

	session->delayed = false;
	drive(session);
}

/* It costs the client its time, and us no more than the session's memory. */
static void
delay(struct session *session)
{
	pause_reading(session);
	set_deadline(session, 0);
	session->delayed = true;
	session->soon.fire = delay_over;
	server_count(&session->server->delayed);
	loop_timer_set(
	    session->server->parts.loop, &session->soon, session_limits(session)->error_delay);
}

static bool
work(void *owner)
{
	struct session *session = owner;
	enum session_step step = session_step(session, true);

	if (step == STEP_GONE)
		return false;
	session->step = step;
	return true;
}

static void on_back(void *owner);
static void on_overdue(void *owner);

static const struct away_ops away_ops = {
	.work = work,
	.back = on_back,
	.leave = session_leave,
	.forget = session_forget_left,
	.late = on_overdue,
};

static void
hop(struct session *session)
{
	const struct away_place place = { session->server->parts.loop,
		session->server->parts.jobs };

	pause_reading(session);
	set_deadline(session, 0);
	session->away = true;
	away_go(&place, &away_ops, session, &session->run, session->txn, session->stage);
}

/* ---- what leaves memory ---- */

static struct session *
of_job(struct job *job)
{
	return (struct session *)(void *)((char *)job - offsetof(struct session, write));
}

static void
write_work(struct job *job)
{
	struct session *session = of_job(job);
	int r = mail_bytes_settle(session->scanner.bytes);

	if (r < 0)
		dot_scanner_fail(&session->scanner, r);
}

static void
written(struct job *job)
{
	struct session *session = of_job(job);

	session->away = false;
	settle_all(session, session_step(session, false));
}

/* No disk holds up the loop. */
static void
write_overflow(struct session *session)
{
	pause_reading(session);
	set_deadline(session, 0);
	session->away = true;
	session->write = (struct job){
		.loop = session->server->parts.loop, .work = write_work, .done = written
	};
	jobs_submit(session->server->parts.jobs, &session->write);
}

/* ---- steps ---- */

static void
begin_tls(struct session *session)
{
	SSL_CTX *tls;
	int r;

	flush(session);
	stream_discard_input(&session->stream);
	resume_reading(session);
	tls = server_tls(session->server, session->listener->name);
	r = tls ? stream_start_tls(&session->stream, tls, true, NULL) : -ENOENT;
	if (r < 0) {
		session->broken = session->closing = true;
		return;
	}
	session->handshaking = true;
	set_deadline(session, session_handshake_patience(session));
}

static void
accept_done(void *arg, int r, const struct item *item)
{
	struct session *session = arg;

	session->waiting = false;
	session_accepted(session, r, item);
	if (!session->submitting)
		drive(session);
}

static void
accept_item(struct session *session)
{
	struct item *item = session->item;

	session->item = NULL;
	session->waiting = session->submitting = true;
	set_deadline(session, 0);
	queue_accept(session->server->parts.queue, item, accept_done, session);
	session->submitting = false;
}

/* Does what a step asks for. True: step again. False: something will happen; or the session is
 * gone. */
static bool
settle(struct session *session, enum session_step step)
{
	switch (step) {
	case STEP_GO:
		break;
	case STEP_INPUT:
		if (session->lost) {
			session->closing = true;
			return true;
		}
		wait_for_input(session);
		return session->broken;
	case STEP_FLUSH:
		return flush_is_read(session);
	case STEP_DELAY:
		delay(session);
		return false;
	case STEP_HOP:
		hop(session);
		return false;
	case STEP_WRITE:
		write_overflow(session);
		return false;
	case STEP_TLS:
		begin_tls(session);
		return session->broken;
	case STEP_ACCEPT:
		accept_item(session);
		return !session->waiting;
	case STEP_CLOSE:
	case STEP_GONE: /* never on the loop */
		finish(session);
		return false;
	}
	return true;
}

/*
 * Whether the client's certificate was good by other authorities, or lists of revoked ones, than
 * `listener` has now. It is not looked at again: who comes back shows whether it still is.
 */
static bool
was_verified_otherwise(const struct session *session, const struct config_listener *listener)
{
	const struct config_listener *own = session->listener;

	return session->facts.certificate &&
	       !(pn_slice_equals(own->client_ca_pem, listener->client_ca_pem) &&
		   pn_slice_equals(own->client_crl_pem, listener->client_crl_pem));
}

/* Takes the newest configuration, between transactions. */
static void
renew(struct session *session)
{
	struct server *server = session->server;
	const struct config_listener *listener;
	bool unverified;

	session->has_tls = server_tls(server, session->listener->name) != NULL;
	if (session->generation == server->generation || session->begun ||
	    session->stage != PN_STAGE_END || session->mode != MODE_COMMAND)
		return;
	listener = server_listener(server, session->listener->name);
	if (!listener) { /* taken out of the configuration */
		session_bye(session, 421, "4.3.2", "This service has ended, closing");
		return;
	}
	unverified = was_verified_otherwise(session, listener);
	txn_reset(session->txn, server->generation);
	generation_release(&session->generation);
	session->generation = generation_hold(server->generation);
	session->listener = listener;
	session->place = server_place(server, listener, session->peer, session->proxied);
	session->facts.listener = listener->name;
	session_share_facts(session);
	if (session->place == SESSION_OUTSIDE)
		session_bye(session, 421, "4.7.1", "Your address may not use this service");
	else if (session_lacks_certificate(session))
		session_bye(session, 421, "4.7.0", "A client certificate is required now");
	else if (unverified)
		session_bye(session, 421, "4.7.0", "Client certificates are verified anew");
}

static void
settle_all(struct session *session, enum session_step step)
{
	while (settle(session, step)) {
		renew(session);
		step = session_step(session, false);
	}
}

static void
drive(struct session *session)
{
	if (session->away || session->waiting || session->delayed || session->handshaking ||
	    session->clogged || session->finishing)
		return;
	session_hears(session);
	renew(session);
	settle_all(session, session_step(session, false));
}

static void
on_back(void *owner)
{
	struct session *session = owner;

	session->away = false;
	settle_all(session, session->step);
}

/* The hook that it waited for has had its time; the chain knows. */
static void
on_overdue(void *owner)
{
	struct session *session = owner;

	session->away = false;
	settle_all(session, session_step(session, false));
}

/* ---- events -----------------------------------------------------------------------------------
 */

static struct session *
of_stream(struct stream *stream)
{
	return (struct session *)((char *)stream - offsetof(struct session, stream));
}

static void
on_input(struct stream *stream)
{
	struct session *session = of_stream(stream);

	if (session->waiting) /* for the disk: replies keep their order */
		pause_reading(session);
	else
		drive(session);
}

static void
on_drained(struct stream *stream)
{
	struct session *session = of_stream(stream);

	if (!session->clogged)
		return;
	session->clogged = false;
	drive(session);
}

static void
greet_soon(struct loop_timer *timer)
{
	drive((struct session *)((char *)timer - offsetof(struct session, soon)));
}

/*
 * The stream may have more for us in its hands, so the session must not move to another thread
 * within this event: the greeting, for which hooks may run, comes at the end of the turn.
 */
static void
on_secured(struct stream *stream, const struct pn_error *err)
{
	struct session *session = of_stream(stream);

	session->handshaking = false;
	if (err) {
		session_log_lost(session, err->text);
		session->broken = session->closing = true;
	} else {
		session_secured(session);
		session->active = true;
	}
	if (session->mode == MODE_GREETING && !err)
		loop_timer_set(stream->loop, &session->soon, 0);
	else
		drive(session);
}

static void
on_lost(struct stream *stream, int r)
{
	struct session *session = of_stream(stream);

	if (session->finishing) {
		session_free(session);
		return;
	}
	session->lost = true;
	session->handshaking = session->clogged = false;
	if (r < 0)
		session->broken = session->closing = true;
	drive(session);
}

static void
on_late(struct stream *stream)
{
	struct session *session = of_stream(stream);

	session->timed = false;
	session_hears(session);
	server_count(&session->server->sessions_cut);
	session_log_lost(session, session_patience(session) > 0 ? "timeout" : "too slow");
	if (session->handshaking || session->clogged) {
		session->handshaking = session->clogged = false;
		session->broken = session->closing = true;
	} else {
		session_bye(session, 421, "4.4.2", "Timeout, closing");
	}
	drive(session);
}

static const struct stream_events events = {
	.input = on_input,
	.drained = on_drained,
	.secured = on_secured,
	.lost = on_lost,
	.late = on_late,
};

/* ---- beginning and end ------------------------------------------------------------------------
 */

/* Which of this machine's users and processes has connected. */
static void
fill_process(struct session *session, int fd)
{
	struct arena *arena = &session->arena;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return;
	session->facts.client_uid = arena_printf(arena, "%u", (unsigned)peer.uid);
	session->facts.client_pid = arena_printf(arena, "%d", (int)peer.pid);
}

static void
fill_facts(struct session *session, const struct session_client *client, int fd)
{
	char host[ADDRESS_TEXT], literal[ADDRESS_TEXT];

	address_host(client->address, host);
	address_literal(client->address, literal);
	session->peer = arena_copy(&session->arena, client->address, sizeof(*client->address));
	session->facts = (struct mail_facts){
		.client_address = arena_text(&session->arena, host),
		.client_literal = arena_text(&session->arena, literal),
		.listener = session->listener->name,
		.helo = "",
		.client_shared = client->shared,
	};
	if (client->address->sa.ss_family == AF_UNIX)
		fill_process(session, fd);
}

static void
enlist(struct session *session)
{
	struct server *server = session->server;

	session->next = server->sessions;
	session->link = &server->sessions;
	if (session->next)
		session->next->link = &session->next;
	server->sessions = session;
}

int
session_open(struct server *server, struct generation *generation,
    const struct config_listener *listener, int fd, const struct session_client *client)
{
	struct session *session = calloc(1, sizeof(*session));
	int r = -ENOMEM;

	if (!session)
		goto fail;
	session->server = server;
	session->listener = listener;
	session->place = (uint8_t)client->place;
	session->proxied = client->proxied;
	session->crowd = client->crowd;
	session->soon.fire = greet_soon;
	session->out = BUF_INIT(OUT_MOST);
	session->secret = BUF_INIT(COMMAND_AUTH_MOST);
	fill_facts(session, client, fd);
	session->txn = txn_new(generation, &session->facts);
	if (!session->txn)
		goto fail;
	r = stream_open(&session->stream, server->parts.loop, fd, &events);
	fd = -1; /* the stream's, also on failure */
	if (r < 0)
		goto fail;
	session->generation = generation_hold(generation);
	enlist(session);
	if (listener->tls == CONFIG_TLS_IMPLICIT)
		begin_tls(session);
	drive(session);
	return 0;
fail:
	if (fd >= 0)
		close(fd);
	if (session) {
		txn_free(&session->txn);
		arena_free(&session->arena);
		free(session);
	}
	return r;
}

void
session_drain(struct session *session)
{
	if (!atomic_load(&session->server->draining)) {
		drive(session);
		return;
	}
	if (session->finishing)
		set_deadline(session, linger_ms(session));
	if (session->handshaking) {
		session->handshaking = false;
		session->broken = session->closing = true;
	}
	drive(session);
}

void
session_close(struct session *session)
{
	stream_close(&session->stream);
	session_free(session);
}

struct session *
session_next(const struct session *session)
{
	return session->next;
}
